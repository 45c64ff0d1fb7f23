"""What one generation leaves to the next: the run, loaded, and the text that its decoder has read.

A prompt that begins as the text before it, or as its prompt, costs only what is new. Importing this
module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from core.config import SamplingConfig
from core.events import GenerationEvent, SetupProgressed
from core.openmp import tame_openmp

if TYPE_CHECKING:
    from core.infer.decoder import Decoder
    from core.open_run import OpenRun


class KeptRun:
    """At most one run, in the memory that it takes; for one generation after another."""

    def __init__(self) -> None:
        self._run_key: tuple[object, ...] = ()
        self._run: tuple[OpenRun, str] | None = None
        self._decoder_key: tuple[object, ...] = ()
        self._decoder: Decoder | None = None

    def open(
        self, spec: str, bits: int, *, device: str, dtype: str, threads: int
    ) -> tuple[OpenRun, str]:
        """What `spec` means now, loaded if it is not the one that was kept, with weights of that
        many bits; and a note on those that could not be rounded.

        Raises:
            MinitfError: it cannot be used.
        """
        from core.device import choose_device
        from core.infer.round_weights import round_weights
        from core.open_run import open_for_use
        from core.store.find import find_run

        where = choose_device(device, dtype, threads)
        ref = find_run(spec)
        key = (ref.run.path, ref.run.provenance, ref.step, where, bits)
        if self._run is None or key != self._run_key:
            self._run = self._decoder = None  # two would take twice the memory
            found = open_for_use(spec, device=device, dtype=dtype, threads=threads)
            self._run_key = (found.run.path, found.run.provenance, found.step, where, bits)
            self._run = found, round_weights(found.model, bits)
        return self._run

    def take_decoder(self, sampling: SamplingConfig) -> Decoder:
        """The one that was put back if it decodes as `sampling` wishes, else a new one. It is away
        until it is put back: one that failed on the way is in no state to go on."""
        assert self._run is not None, "open comes first"
        from core.infer.generate import decoding_of, make_decoder

        key, found = decoding_of(sampling), self._run[0]
        decoder, self._decoder = self._decoder, None
        if decoder is None or key != self._decoder_key:
            decoder = make_decoder(found.model, found.device, sampling)
        self._decoder_key = key
        return decoder

    def put_back(self, decoder: Decoder) -> None:
        """Keep a decoder with what it has read."""
        self._decoder = decoder


def written_with(
    kept: KeptRun,
    load: Callable[[], tuple[OpenRun, str]],
    sampling: SamplingConfig,
    prompt_tokens: int,
    is_stopping: Callable[[], bool],
) -> Generator[GenerationEvent, None, None]:
    """Open the run, and write with what the generation before has left.

    Args:
        prompt_tokens: of held-out text, where there is no prompt.
    """
    yield SetupProgressed(stage="loading the run")
    tame_openmp()
    from core.infer.engines.choose import engine_stage
    from core.infer.generate import generate
    from core.open_run import prompt_ids

    found, note = load()
    prompt = yield from prompt_ids(found, sampling.prompt, prompt_tokens, is_stopping)
    if prompt is None:
        return
    if stage := engine_stage(found.model, found.device, sampling.engine, sampling.cache):
        yield SetupProgressed(stage=stage)
    decoder = kept.take_decoder(sampling)
    yield from generate(
        found.model,
        found.tokenizer,
        prompt,
        sampling,
        found.device,
        note=note,
        decoder=decoder,
        is_stopping=is_stopping,
    )
    kept.put_back(decoder)
