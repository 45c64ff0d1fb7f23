"""A benchmark as a person, a page or a spreadsheet reads it. Numbers in, text out."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from core.events import BenchCell, Benchmark, Proof, Ratio, Variant
from minitf_tui import format as fmt
from minitf_tui.cli.reports import columns, remarks, titled
from minitf_tui.problems import escape

Rows = list[tuple[str, ...]]

_DECODE = ("ways to decode", "ms ± sd", "µs/token", "tok/s", "vs 1st", "bound")
_PREFILL = ("time to first token", "ms ± sd", "median", "tok/s")
_BOUNDS = {"dispatch": "calls"}
_SHORT = {"float32": "f32", "bfloat16": "bf16"}
_MACHINE = ("device", "device_name", "platform")
_VERSIONS = ("minitf", "torch", "numba", "python")
_PROOF = ("proof", "same", "ties", "logits", "KLD", "loss", "")


def table(result: Benchmark) -> str:
    """Aligned, at most 80 columns wide: each workload's cells, the proofs, what is behind them."""
    parts = [part for cells in _workloads(result) for part in _workload(result, cells)]
    proofs = _proof_rows(result)
    if proofs:
        parts.append(columns([_PROOF, *proofs], left=1))
    parts += [titled("Measured", _facts(result)), *remarks([*_warnings(result), *result.skipped])]
    return "\n\n".join(parts)


def markdown(result: Benchmark) -> str:
    """The same tables for a page."""
    parts = []
    for cells in _workloads(result):
        parts += [
            f"{_work(cells)}:",
            _markdown_table(_decode_head(cells), _decode_rows(result, cells)),
            _markdown_table(_PREFILL, _prefill_rows(cells)),
        ]
    if proofs := _proof_rows(result):
        parts.append(_markdown_table(_PROOF, proofs))
    parts.append("\n".join(f"* {name}: {value}" for name, value in _facts(result)))
    parts += [f"* {sentence}" for sentence in (*_warnings(result), *result.skipped)]
    return "\n\n".join(parts)


def csv_lines(result: Benchmark) -> str:
    """A line for each cell, with a head; samples are joined by spaces."""
    rows = [_flat(cell) for cell in result.cells]
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().rstrip("\n")


def _name(variant: Variant) -> str:
    return escape(variant.label)


def _workloads(result: Benchmark) -> list[list[BenchCell]]:
    """Cells apart by the work that they do, and in what type."""
    found: dict[tuple[int, int, str], list[BenchCell]] = {}
    for cell in result.cells:
        variant = cell.variant
        key = variant.prompt_tokens, variant.depth, variant.dtype
        if variant.rival:  # whatever the grid is, it has one type
            key = next((other for other in found if other[:2] == key[:2]), key)
        found.setdefault(key, []).append(cell)
    return list(found.values())


def _workload(result: Benchmark, cells: Sequence[BenchCell]) -> Iterator[str]:
    yield f"{_work(cells)}\n{columns([_decode_head(cells), *_decode_rows(result, cells)], left=1)}"
    yield columns([_PREFILL, *_prefill_rows(cells)], left=1)


def _work(cells: Sequence[BenchCell]) -> str:
    variant = cells[0].variant
    tokens = sorted({cell.tokens for cell in cells if cell.phase == "decode"}, reverse=True)
    written = " or ".join(map(str, tokens))
    work = f"{written} tokens at depth {variant.depth}, after {variant.prompt_tokens} of prompt"
    threads = "" if _has_threads(cells) else f", {fmt.plural(variant.threads, 'thread')}"
    return f"{work}; {variant.dtype}{threads}"


def _has_threads(cells: Sequence[BenchCell]) -> bool:
    """They differ in them, so that each row says how many."""
    return len({cell.variant.threads for cell in cells}) > 1


def _decode_head(cells: Sequence[BenchCell]) -> tuple[str, ...]:
    first, *rest = _DECODE
    return (first, *(["thr."] if _has_threads(cells) else []), *rest)


def _decode_rows(result: Benchmark, cells: Sequence[BenchCell]) -> Rows:
    decode = [cell for cell in cells if cell.phase == "decode"]
    first = next(c for c in result.cells if c.phase == "decode" and _is_same(c, decode[0]))
    return [
        (
            _name(cell.variant),
            *([str(cell.variant.threads)] if _has_threads(cells) else []),
            fmt.mean_sd(cell.mean_ms, cell.sd_ms),
            fmt.mean_sd(1000 * cell.median_ms / cell.tokens, None),
            fmt.count(cell.tokens_per_s),
            _against(cell, first) if cell.is_ranked else "wrong",
            _bound(cell),
        )
        for cell in decode
    ]


def _is_same(left: BenchCell, right: BenchCell) -> bool:
    """They do the same work."""
    one, other = left.variant, right.variant
    return (one.prompt_tokens, one.depth) == (other.prompt_tokens, other.depth)


def _against(cell: BenchCell, first: BenchCell) -> str:
    mine, its = (one.median_ms / one.tokens for one in (cell, first))
    return fmt.times(its / mine)


def _bound(cell: BenchCell) -> str:
    verdict = cell.verdict
    if verdict is None:
        return fmt.NONE
    share = f"{100 * verdict.fraction:.0f} %" if verdict.fraction <= 1 else ">100 %"
    return f"{_BOUNDS.get(verdict.bound, verdict.bound)} {share}"


def _prefill_rows(cells: Sequence[BenchCell]) -> Rows:
    return [
        (
            _name(cell.variant),
            fmt.mean_sd(cell.mean_ms, cell.sd_ms),
            f"{cell.median_ms:,.2f}",
            fmt.count(cell.tokens_per_s),
        )
        for cell in cells
        if cell.phase == "prefill"
    ]


def _proof_rows(result: Benchmark) -> Rows:
    """One for each way to decode, of the first workload that it was proved on."""
    has_types = len({cell.variant.dtype for cell in result.cells}) > 1
    proofs = {
        _name(cell.variant)
        + (
            f", {_SHORT.get(cell.variant.dtype, cell.variant.dtype)}" if has_types else ""
        ): cell.proof
        for cell in reversed(result.cells)
        if cell.proof is not None
    }
    return [
        (
            name,
            f"{proof.identical_tokens} of {proof.of}",
            str(proof.near_ties),
            f"{proof.max_logit_diff:.1e}",
            f"{proof.mean_kld:.1e}",
            fmt.loss_change(proof.loss_difference),
            _judgement(proof),
        )
        for name, proof in reversed(proofs.items())
    ]


def _judgement(proof: Proof) -> str:
    if not proof.is_exact:
        return "approx."
    return "passes" if proof.passes else "fails"


def _warnings(result: Benchmark) -> list[str]:
    wrong = dict.fromkeys(_name(cell.variant) for cell in result.cells if not cell.is_ranked)
    told = [f"{name} does not write what the model says, so it is not ranked." for name in wrong]
    told += _short_of_tokens(result)
    if any(cell.verdict and cell.verdict.fraction > 1 for cell in result.cells):
        told.append(">100 %: the machine had other work when its limit was measured.")
    return told


def _short_of_tokens(result: Benchmark) -> list[str]:
    """Those that wrote fewer in a repetition, because as many as the others would take too long."""
    decode = [cell for cell in result.cells if cell.phase == "decode"]
    most = max((cell.tokens for cell in decode), default=0)
    return [
        f"{_name(cell.variant)} wrote only {cell.tokens} tokens: {most} would take too long;"
        " compare the time of a token."
        for cell in decode
        if cell.tokens < most
    ]


def _facts(result: Benchmark) -> list[tuple[str, str]]:
    cells = [cell for cell in result.cells if cell.phase == "decode"]
    counts = sorted(len(cell.samples_ms) for cell in cells)
    warm_ups = sorted(cell.warm_ups for cell in cells)
    marked = sum(len(cell.outliers) for cell in cells)
    facts = [
        ("speed-up", f"{fmt.times(result.speedup)} in decode"),
        *_ratio_facts(result),
        ("repetitions", f"{_span(counts)}, after {_span(warm_ups)} to warm up; outliers: {marked}"),
        ("cache", fmt.size_bytes(max((cell.cache_bytes for cell in cells), default=0))),
    ]
    peaks = [cell.peak_bytes for cell in cells if cell.peak_bytes]
    if peaks:
        facts.append(("peak memory", fmt.size_bytes(max(peaks))))
    if limits := result.limits:
        speeds = f"{limits.bytes_per_s / 1e9:.1f} GB/s, {limits.flops_per_s / 1e9:.0f} GFLOP/s"
        facts.append(("limits", f"{limits.dispatch_us:.1f} µs a call, {speeds}"))
    return [*facts, *_environment(result)]


def _ratio_facts(result: Benchmark) -> list[tuple[str, str]]:
    """The largest ratio among our own, and of each other program that to the best of ours."""
    best: dict[str, Ratio] = {}
    for ratio in result.ratios:
        if ratio.left.rival and ratio.right.rival:
            continue
        shown = _turned(ratio) if ratio.right.rival else ratio
        found = best.setdefault(shown.left.rival and shown.left.label, shown)
        if shown.ratio > found.ratio:
            best[shown.left.rival and shown.left.label] = shown
    return [
        (
            "ratio",
            f"{one.ratio:.3g} ({one.ci95[0]:.3g} to {one.ci95[1]:.3g}),"
            f" {_name(one.left)} : {_name(one.right)}",
        )
        for one in best.values()
    ]


def _turned(ratio: Ratio) -> Ratio:
    low, high = ratio.ci95
    ends = (1 / high, 1 / low)
    return Ratio(left=ratio.right, right=ratio.left, ratio=1 / ratio.ratio, ci95=ends)


def _environment(result: Benchmark) -> Iterator[tuple[str, str]]:
    known = result.environment
    threads = _span(sorted({cell.variant.threads for cell in result.cells}))
    types = " and ".join(dict.fromkeys(cell.variant.dtype for cell in result.cells))
    yield "machine", escape(", ".join(str(known[k]) for k in _MACHINE if k in known))
    yield "computed", f"in {types}, threads {threads}"
    yield "versions", escape(", ".join(f"{k} {known[k]}" for k in _VERSIONS if k in known))
    rivals = dict.fromkeys(cell.variant.rival for cell in result.cells if cell.variant.rival)
    if rivals:
        yield "rivals", escape(", ".join(f"{name} {known.get(name, '')}" for name in rivals))


def _span(numbers: Sequence[int]) -> str:
    if not numbers:
        return "0"
    return str(numbers[0]) if numbers[0] == numbers[-1] else f"{numbers[0]} to {numbers[-1]}"


def _markdown_table(head: tuple[str, ...], rows: Rows) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def _flat(cell: BenchCell) -> dict[str, object]:
    """Every field of a cell that fits into a line."""
    found = asdict(cell)
    low, high = found.pop("interval_ms") or ("", "")
    verdict, proof = found.pop("verdict") or {}, found.pop("proof") or {}
    return {
        **found.pop("variant"),
        **found,
        "samples_ms": " ".join(map(repr, cell.samples_ms)),
        "outliers": " ".join(map(str, cell.outliers)),
        "low_ms": low,
        "high_ms": high,
        **{key: verdict.get(key, "") for key in ("bound", "limit_tokens_per_s", "fraction")},
        **{key: proof.get(key, "") for key in Proof.__dataclass_fields__},
    }
