"""Who takes part in a benchmark: the possible variants of its grid, made ready to repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.config import BenchConfig
from core.device import Device
from core.errors import ConfigError
from core.events import Proof, Variant
from core.infer.decoder import Decoder
from core.infer.engines.choose import make_engine
from core.measure.grid import Refused, reason_against, variants_of, worth_telling
from core.measure.proof import Plain, prove
from core.measure.repetition import Contestant, IsStopping, Own
from core.model.transformer import Transformer

LEAST_LIMIT_S = 1.0
EXPECTED_WARM_UPS = 3


class Gathering:
    """Makes contestants of a grid, and proofs for them."""

    def __init__(
        self, model: Transformer, held_out: Sequence[int], config: BenchConfig, device: Device
    ) -> None:
        self._model, self._held_out = model, held_out
        self._config, self._device = config, device
        self._decoders: dict[int, Decoder] = {}
        self._proofs: dict[Variant, Proof] = {}
        self.skipped: tuple[str, ...] = ()
        self.contestants: list[Contestant] = []

    def gather(self) -> None:
        """Make all that are possible.

        Raises:
            ConfigError: none is.
        """
        refused: list[Refused] = []
        wanted = variants_of(self._config, self._device)
        turns = len(wanted) * (self._config.reps + EXPECTED_WARM_UPS)
        limit_s = max(LEAST_LIMIT_S, self._config.seconds / turns)
        for variant in wanted:
            if reason := reason_against(variant, self._config, self._model.config):
                refused.append(Refused(variant, reason))
            elif reason := self._add(variant, limit_s):
                refused.append(Refused(variant, reason, is_by_nature=False))
        if not self.contestants:
            raise ConfigError(
                f"No variant can be timed: {refused[0].reason}", hint="Choose others."
            )
        self.skipped = worth_telling([c.variant for c in self.contestants], refused)

    def prove(self, contestant: Contestant, is_stopping: IsStopping) -> Proof | None:
        """How near it comes to the plain model; None for that model itself, and for rivals.

        The work that is proved is the prompt and n tokens, whatever the depth.
        """
        variant = contestant.variant
        key = replace(variant, depth=variant.prompt_tokens)
        decoder = self._decoders.get(id(contestant))
        if decoder is None or (variant.engine, variant.cache) == ("torch", "none"):
            return None
        if key not in self._proofs:
            decoder.rewind(0)
            self._proofs[key] = prove(
                Plain(self._model, self._device_of(variant)),
                decoder,
                self._held_out[: variant.prompt_tokens],
                self._config.n,
                self._held_out,
                is_exact=variant.is_exact,
                dtype=variant.dtype,
                is_stopping=is_stopping,
            )
            decoder.rewind(0)
        return self._proofs[key]

    def close(self) -> None:
        """End what they started."""
        for contestant in self.contestants:
            contestant.close()

    def _add(self, variant: Variant, limit_s: float) -> str:
        """Make one; why that is not possible, if it is not."""
        device = self._device_of(variant)
        engine = make_engine(self._model, device, engine=variant.engine, cache=variant.cache)
        if engine.name != variant.engine:
            return engine.note
        decoder = Decoder(engine)
        n = self._config.n
        own = Own(variant, decoder, device, self._held_out, n, limit_s=limit_s)
        self._decoders[id(own)] = decoder
        self.contestants.append(own)
        return ""

    def _device_of(self, variant: Variant) -> Device:
        return Device(self._device.type, variant.dtype, variant.threads)
