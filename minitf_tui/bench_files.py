"""A benchmark as files: its cells as CSV, and its picture as PNG and SVG where matplotlib is there.

Nothing that exists is ever replaced: a name that is taken gets a number.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import re
from pathlib import Path

from core import paths
from core.errors import StoreError
from core.events import BenchCell, Verdict
from minitf_tui.bench_board import Board

Saved = tuple[Path, ...]
PICTURES = (".png", ".svg")
MOST_NAMES = 1000
COLUMNS = (
    *("variant", "engine", "cache", "dtype", "bits", "threads", "prompt_tokens", "variant_depth"),
    *("rival", "phase", "depth", "tokens", "n", "mean_ms", "sd_ms", "median_ms", "min_ms"),
    *("ci95_low_ms", "ci95_high_ms", "tokens_per_s", "warm_ups", "outliers", "cache_bytes"),
    *("peak_bytes", "bound", "limit_tokens_per_s", "share_of_limit", "proof_passes", "is_ranked"),
    *("identical_tokens", "of", "near_ties", "max_logit_diff", "mean_kld", "loss_difference"),
    "samples_ms",
)


def has_pictures() -> bool:
    """Whether matplotlib, the extra `plot`, is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def save(board: Board, run: str, step: int, folder: Path) -> Saved:
    """Write all files under one new name; their paths, the CSV first.

    Args:
        board: a benchmark that nobody changes any more.

    Raises:
        StoreError: they cannot be written; then none of them is left.
    """
    contents = _contents(board, f"{run} at step {step:,}")
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", f"bench-{run}-{step}")
    for number in range(1, MOST_NAMES):
        name = stem if number == 1 else f"{stem}-{number}"
        try:
            return _written({folder / f"{name}{suffix}": data for suffix, data in contents.items()})
        except FileExistsError:
            continue
        except OSError as error:
            raise StoreError(
                f"The benchmark cannot be written to {folder}: {error.strerror or error}.",
                hint="Start minitf in a folder that you may write to.",
            ) from error
    raise StoreError(
        f"{folder} holds {MOST_NAMES - 1} files named {stem} already.", hint="Move some away."
    )


def folder() -> Path:
    """Where they are saved: the working folder.

    Raises:
        StoreError: it is gone.
    """
    try:
        return paths.absolute("x").parent
    except OSError as error:
        raise StoreError(
            "The folder in which minitf was started is gone.", hint="Start it in another one."
        ) from error


def _contents(board: Board, title: str) -> dict[str, bytes]:
    """What goes into each file, by its suffix."""
    contents = {".csv": table(board).encode("utf-8")}
    if has_pictures():
        from minitf_tui.bench_pictures import picture
        from minitf_tui.cli.figures import rendered

        contents |= {suffix: rendered(picture(board, title), suffix) for suffix in PICTURES}
    return contents


def _written(files: dict[Path, bytes]) -> Saved:
    made: list[Path] = []
    try:
        for path, data in files.items():
            with path.open("xb") as file:
                made.append(path)
                file.write(data)
    except OSError:
        for path in made:
            path.unlink(missing_ok=True)
        raise
    return tuple(made)


def table(board: Board) -> str:
    """All cells as CSV, a row each; samples and outliers are lists with semicolons."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for track in board.tracks:
        for cell in track.cells.values():
            writer.writerow(_row(track.label, cell))
    return text.getvalue()


def _row(label: str, cell: BenchCell) -> dict[str, object]:
    variant, proof = cell.variant, cell.proof
    verdict = cell.verdict or Verdict(bound="", limit_tokens_per_s=0.0, fraction=0.0)
    low, high = cell.interval_ms or ("", "")
    has_verdict = cell.verdict is not None
    proved = {
        name: getattr(proof, name) if proof else ""
        for name in ("identical_tokens", "of", "near_ties", "max_logit_diff", "mean_kld")
    }
    return {
        "variant": label,
        "variant_depth": variant.depth,
        **{name: getattr(variant, name) for name in COLUMNS[1:7]},
        "rival": variant.rival,
        **{name: getattr(cell, name) for name in ("phase", "depth", "tokens", "warm_ups")},
        "n": len(cell.samples_ms),
        **{name: getattr(cell, name) for name in ("mean_ms", "sd_ms", "median_ms", "min_ms")},
        "ci95_low_ms": low,
        "ci95_high_ms": high,
        "tokens_per_s": cell.tokens_per_s,
        "outliers": ";".join(map(str, cell.outliers)),
        "cache_bytes": cell.cache_bytes,
        "peak_bytes": "" if cell.peak_bytes is None else cell.peak_bytes,
        "bound": verdict.bound,
        "limit_tokens_per_s": verdict.limit_tokens_per_s if has_verdict else "",
        "share_of_limit": verdict.fraction if has_verdict else "",
        "proof_passes": proof.passes if proof else "",
        "is_ranked": cell.is_ranked,
        **proved,
        "loss_difference": proof.loss_difference if proof else "",
        "samples_ms": ";".join(map(repr, cell.samples_ms)),
    }
