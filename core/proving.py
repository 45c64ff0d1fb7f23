"""The proof of a way to write: its greedy tokens against those of the plain model, on a prompt."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING

from core.config import SamplingConfig
from core.events import GenerationProved, ProvingEvent, SetupProgressed
from core.jobs import Job
from core.openmp import tame_openmp

if TYPE_CHECKING:
    from core.open_run import OpenRun

MOST_TOKENS = 128


def proof_of(
    load: Callable[[], OpenRun], sampling: SamplingConfig, prompt_tokens: int
) -> Job[ProvingEvent]:
    """Compare the engine, cache and bits of `sampling` with the plain model: tokens, logits, KLD.

    Args:
        load: opens the run, at most once.
        sampling: its prompt is followed, greedily, for at most 128 tokens.
        prompt_tokens: of held-out text, where there is no prompt.
    """
    return Job(partial(_proving, load, sampling, prompt_tokens))


def _proving(
    load: Callable[[], OpenRun],
    sampling: SamplingConfig,
    prompt_tokens: int,
    is_stopping: Callable[[], bool],
) -> Generator[ProvingEvent, None, None]:
    yield SetupProgressed(stage="loading the run")
    tame_openmp()
    from copy import deepcopy

    from core.infer.generate import make_decoder
    from core.infer.round_weights import round_weights
    from core.measure.proof import Plain, prove
    from core.open_run import prompt_ids

    found = load()
    prompt = yield from prompt_ids(found, sampling.prompt, prompt_tokens, is_stopping)
    if prompt is None:
        return
    yield SetupProgressed(stage="proving on this prompt")
    plain = Plain(deepcopy(found.model), found.device)
    kept = round_weights(found.model, sampling.weight_bits)
    decoder = make_decoder(found.model, found.device, sampling)
    # Codes are multiplied by rounded activations, where the plain model multiplies floats.
    has_codes = decoder.engine.name == "fast" and bool(found.model.packed)
    proof = prove(
        plain,
        decoder,
        prompt,
        min(MOST_TOKENS, sampling.max_new_tokens),
        prompt,
        is_exact=sampling.is_exact and not has_codes,
        dtype=found.device.dtype,
        is_stopping=is_stopping,
    )
    if not is_stopping():
        engine = decoder.engine
        note = " ".join(part for part in (engine.note, kept) if part)
        yield GenerationProved(engine=engine.name, proof=proof, note=note)
