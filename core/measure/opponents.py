"""Other programs as contestants: each started once for the bits and threads of the grid."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from itertools import product

from core.config import BenchConfig
from core.errors import ExportError, RivalError
from core.events import SetupProgressed, Variant
from core.measure.grid import workloads
from core.measure.repetition import Contestant, Foreign, IsStopping
from core.measure.rivals import Rival, start_rival
from core.model.transformer import Transformer
from core.store.stages import Stopped
from core.text.tokenizer import Tokenizer


@dataclass(slots=True)
class Opponents:
    """Those that could be started, and why others could not."""

    contestants: list[Contestant] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


def start_opponents(
    config: BenchConfig,
    model: Transformer,
    tokenizer: Tokenizer,
    text: Sequence[int],
    is_stopping: IsStopping,
    found: Opponents,
) -> Generator[SetupProgressed, None, None]:
    """Fill `found`, so that whoever owns it can end what was started before an error."""
    for name, bits, threads in product(config.compare, config.bits, config.threads):
        try:
            rival = yield from start_rival(
                name, model, tokenizer, bits=bits, threads=threads, is_stopping=is_stopping
            )
        except Stopped:
            return
        except (RivalError, ExportError) as error:
            # How to install one is worth telling; how to export another model is not.
            reason = f"{error} {error.hint}" if isinstance(error, RivalError) else str(error)
            found.reasons += [reason] if reason not in found.reasons else []
            continue
        found.versions[name] = rival.version
        made = _contestants(rival, bits, config, text)
        found.contestants += made
        if not made:
            rival.close()
            found.reasons.append(
                f"{name} begins to decode at the end of its prompt, so it has no other depth:"
                " give that as prompt_tokens."
            )


def _contestants(
    rival: Rival, bits: int, config: BenchConfig, text: Sequence[int]
) -> list[Contestant]:
    return [
        Foreign(_variant(rival, bits, prompt), rival, text, config.n)
        for prompt, depth in workloads(config)
        if depth == prompt
    ]


def _variant(rival: Rival, bits: int, prompt_tokens: int) -> Variant:
    return Variant(
        engine=rival.name,
        cache="static",
        dtype="float32",
        bits=bits,
        threads=rival.threads,
        prompt_tokens=prompt_tokens,
        depth=prompt_tokens,
        rival=rival.name,
    )
