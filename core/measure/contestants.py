"""Who takes part in a benchmark: the possible variants of its grid, made ready to repeat."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from copy import deepcopy
from dataclasses import replace

from core.config import BenchConfig
from core.device import Device
from core.errors import ConfigError
from core.events import Limits, Proof, SetupProgressed, Variant, Verdict
from core.infer.decoder import Decoder
from core.infer.engines.choose import engine_stage, make_engine
from core.infer.round_weights import round_weights
from core.measure.grid import Refused, reason_against, variants_of, way_out, worth_telling
from core.measure.limits import count_dispatches, measure_limits, verdict, weights_read
from core.measure.opponents import Opponents, start_opponents
from core.measure.proof import Plain, prove
from core.measure.repetition import Contestant, IsStopping, Own
from core.model.transformer import Transformer
from core.text.tokenizer import Tokenizer

LEAST_LIMIT_S = 1.0
EXPECTED_WARM_UPS = 3


class Gathering:
    """Makes contestants of a grid, and proofs for them."""

    def __init__(
        self, model: Transformer, held_out: Sequence[int], config: BenchConfig, device: Device
    ) -> None:
        self._held_out = held_out
        self._config, self._device = config, device
        self._models = {0: model}
        """By the bits of their weights."""
        self._decoders: dict[int, Decoder] = {}
        self._proofs: dict[Variant, Proof] = {}
        self._limits: dict[tuple[Device, int], Limits] = {}
        """By the device and the bytes that a token reads, that of the first variant first."""
        self.remarks: list[str] = []
        self.versions: dict[str, str] = {}
        """Of other programs, by their names."""
        self.skipped: tuple[str, ...] = ()
        self.contestants: list[Contestant] = []

    def gather(
        self, tokenizer: Tokenizer, is_stopping: IsStopping
    ) -> Generator[SetupProgressed, None, None]:
        """Make all that are possible; other programs come last.

        Raises:
            ConfigError: none is.
        """
        yield SetupProgressed(stage="preparing what is timed")
        refused: list[Refused] = []
        wanted = variants_of(self._config, self._device)
        turns = len(wanted) * (self._config.reps + EXPECTED_WARM_UPS)
        limit_s = max(LEAST_LIMIT_S, self._config.seconds / turns)
        for variant in wanted:
            if reason := reason_against(variant, self._config, self._models[0].config):
                refused.append(Refused(variant, reason))
                continue
            engine, cache = variant.engine, variant.cache
            if stage := engine_stage(self._models[0], self._device_of(variant), engine, cache):
                yield SetupProgressed(stage=stage)
            if reason := self._add(variant, limit_s):
                refused.append(Refused(variant, reason, is_by_nature=False))
        if not self.contestants:
            raise ConfigError(
                f"No variant can be timed: {refused[0].reason}",
                hint=way_out(refused[0].variant, self._config, self._models[0].config),
            )
        told = worth_telling([c.variant for c in self.contestants], refused)
        opponents = Opponents(self.contestants, self.remarks, self.versions)
        yield from start_opponents(
            self._config, self._models[0], tokenizer, self._held_out, is_stopping, opponents
        )
        self.skipped = (*told, *self.remarks)

    def can_prove(self, contestant: Contestant) -> bool:
        """Not the plain model itself, and no rival."""
        variant = contestant.variant
        is_plain = (variant.engine, variant.cache) == ("torch", "none")
        return id(contestant) in self._decoders and not is_plain

    def prove(self, contestant: Contestant, is_stopping: IsStopping) -> Proof:
        """How near it comes to the plain model, if that can be proved.

        The work that is proved is the prompt and n tokens, whatever the depth.
        """
        variant, decoder = contestant.variant, self._decoders[id(contestant)]
        key = replace(variant, depth=variant.prompt_tokens)
        if key not in self._proofs:
            decoder.rewind(0)
            self._proofs[key] = prove(
                Plain(self._models[0], self._device_of(variant)),
                decoder,
                self._held_out[: variant.prompt_tokens],
                self._config.n,
                self._held_out,
                is_exact=variant.is_exact and not self._is_packed(variant),
                dtype=variant.dtype,
                is_stopping=is_stopping,
            )
            decoder.rewind(0)
        return self._proofs[key]

    def judge(self, contestant: Contestant) -> Callable[[float], Verdict] | None:
        """What says of its tokens a second which limit of the machine they are near to, in the
        middle of the tokens that it decodes; None for rivals, whose inside is not known."""
        variant, decoder = contestant.variant, self._decoders.get(id(contestant))
        if decoder is None:
            return None
        decoder.rewind(0)
        decoder.feed(self._held_out[: variant.prompt_tokens])
        dispatches = count_dispatches(decoder.engine)
        decoder.rewind(0)
        read = weights_read(self._models[variant.bits])
        key = self._device_of(variant), read
        self._limits[key] = measure_limits(*key)
        depth = variant.depth + self._config.n // 2

        def judged(tokens_per_s: float) -> Verdict:
            return verdict(
                self._limits[key],
                self._models[0].config,
                variant,
                depth,
                tokens_per_s,
                weight_bytes=read,
                dispatches=dispatches,
            )

        return judged

    def measure_again(self) -> None:
        """Look once more at what the machine can do: it may have had other work before."""
        self._limits = {key: measure_limits(*key) for key in self._limits}

    @property
    def limits(self) -> Limits | None:
        """Of the first variant, once it was judged."""
        return next(iter(self._limits.values()), None)

    def close(self) -> None:
        """End what they started."""
        for contestant in self.contestants:
            contestant.close()

    def _add(self, variant: Variant, limit_s: float) -> str:
        """Make one; why that is not possible, if it is not."""
        device = self._device_of(variant)
        engine = make_engine(
            self._in_bits(variant.bits),
            device,
            engine=variant.engine,
            cache=variant.cache,
            window=self._config.window,
            sinks=self._config.sinks,
        )
        if engine.name != variant.engine:
            return engine.note
        variant = replace(variant, threads=getattr(engine, "n_threads", variant.threads))
        decoder = Decoder(engine)
        n = self._config.n
        own = Own(variant, decoder, device, self._held_out, n, limit_s=limit_s)
        self._decoders[id(own)] = decoder
        self.contestants.append(own)
        return ""

    def _in_bits(self, bits: int) -> Transformer:
        """The model with weights rounded for the benchmark alone; it keeps its own."""
        if bits not in self._models:
            rounded = deepcopy(self._models[0])
            if note := round_weights(rounded, bits):
                self.remarks.append(f"{bits} bits: {note[0].lower()}{note[1:]}")
            self._models[bits] = rounded
        return self._models[bits]

    def _is_packed(self, variant: Variant) -> bool:
        """It multiplies codes by rounded activations, where the plain model multiplies floats."""
        return variant.engine == "fast" and bool(self._models[variant.bits].packed)

    def _device_of(self, variant: Variant) -> Device:
        is_fixed = variant.threads in self._config.threads
        return Device(self._device.type, variant.dtype, variant.threads, is_fixed)
