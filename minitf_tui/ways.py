"""From a way to write (engine, cache, bits) to what is read of it: its name, speed and proof. Pure.

A way that gives something up for speed or room is marked as approximate wherever it is named.
"""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content

from core.config import SamplingConfig
from core.events import GenerationProved, PromptRead, Proof
from minitf_tui import format as fmt
from minitf_tui.bench_board import APPROXIMATE, CACHES
from minitf_tui.sanitize import clean_line

PROVE = "p proves it on this prompt"


def way_name(sampling: SamplingConfig, engine: str) -> str:
    """Short: "fast KV cache int8"."""
    parts = [clean_line(engine) or sampling.engine, CACHES.get(sampling.cache, sampling.cache)]
    if sampling.cache in ("window", "sinks"):
        parts.append(f"of {sampling.window:,}")
    if sampling.weight_bits:
        parts.append(f"int{sampling.weight_bits}")
    return " ".join(parts)


def way_lines(
    sampling: SamplingConfig,
    read: PromptRead | None,
    speeds: Mapping[str, float],
    proved: GenerationProved | None,
) -> Content:
    """How it is written, what it cannot promise, how fast another way was, and the proof.

    Args:
        speeds: tokens/s of the ways that wrote this prompt, the newest last.
        proved: the proof of this way, if there is one.
    """
    name = way_name(sampling, proved.engine if proved else read.engine if read else "")
    parts = [(name, "bold")]
    if not sampling.is_exact and not proved:
        parts.append((f"  {APPROXIMATE} approximate", "$warning"))
    parts += [("   ", ""), *(_proof(proved.proof) if proved else [(PROVE, "$quiet")])]
    lines = [Content.assemble(*parts)]
    if told := _comparison(name, speeds):
        lines.append(Content.styled(told, "$quiet"))
    note = clean_line((proved or read).note) if (proved or read) else ""  # type: ignore[union-attr]
    if note:
        lines.append(Content.styled(note, "$warning"))
    return Content("\n").join(lines)


def _proof(proof: Proof) -> list[tuple[str, str]]:
    same = f"{proof.identical_tokens} of {proof.of} tokens the same"
    ties = f", {fmt.plural(proof.near_ties, 'near tie')}" if proof.near_ties else ""
    figures = f"   logits ± {proof.max_logit_diff:.1e}, KLD {proof.mean_kld:.1e}"
    if proof.passes and proof.is_exact:
        mark = ("✓ ", "bold $success")
    elif proof.is_exact:
        mark = ("✗ ", "bold $error")
    else:
        mark = (f"{APPROXIMATE} approximate: ", "$warning")
    failed = proof.is_exact and not proof.passes
    words = same + ties + (": the proof fails" if failed else "")
    return [mark, (words, mark[1] if failed else ""), (figures, "$quiet")]


def _comparison(name: str, speeds: Mapping[str, float]) -> str:
    """The other ways with what this one is worth beside them."""
    here = speeds.get(name)
    others = [(other, speed) for other, speed in speeds.items() if other != name and speed > 0]
    if not here or not others:
        return ""
    told = [f"{fmt.times(here / speed)} of {other}" for other, speed in reversed(others)]
    return f"{fmt.count(here)} tok/s: {', '.join(told[:3])}"
