"""What int8 and int4 cost in quality, beside llama.cpp's q8_0 and q4_0 of the same model.

    python tests/benchmarks/quantize_quality.py                # trains the preset quick, 90 s
    python tests/benchmarks/quantize_quality.py --run RUN      # a run that is there already

All are compared with the weights in full, computed by PyTorch, on the same held-out text; each
window of the run's context is scored whole. A row says who computed:

    PyTorch     the numbers that the codes stand for, in float32; of the rivals' formats those of
                the gguf package
    kernels     our fast engine, token by token, from the packed matrices: it rounds activations
    llama.cpp   `llama_decode`, token by token, on our own gguf export, with its cache in f32

The first rows of minitf are the runs that `minitf quantize` makes, whose files win the race of
decode_rivals.py; the others show what else it could do. Bytes are those of the matrices alone, the
same ones on both sides; q4_0 as we export it keeps embedding and head in q8_0, as `quantize` does
in 8 bits. The row "q4_0, all" has them in q4_0 too. The last lines are the goals.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from core.openmp import tame_openmp

tame_openmp()

import gguf  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

import core  # noqa: E402
from core.config import QuantizeConfig  # noqa: E402
from core.events import Quality  # noqa: E402
from core.infer.engines.fast import FastEngine  # noqa: E402
from core.infer.quantize import plan, quantize  # noqa: E402
from core.measure.evaluate import windows  # noqa: E402
from core.measure.quality import Pairs  # noqa: E402
from core.model.transformer import Transformer  # noqa: E402
from core.open_run import OpenRun, open_for_use  # noqa: E402
from core.store.stages import never  # noqa: E402
from core.store.tokens import TokenizedText  # noqa: E402
from core.testing import result_of  # noqa: E402
from tests.benchmarks.quantized import ENDS, gguf_bytes, matrix_bytes, quantized  # noqa: E402

ROW = "{:26} {:10} {:>10} {:>19} {:>8} {:>14} {:>19} {:>13}"
HEAD = ("weights", "by", "bytes", "mean KLD", "99 %", "same top 1, %", "ln-ratio", "RMS Δp, %")
OTHERS: tuple[tuple[str, dict[str, object]], ...] = (
    ("int8 nearest", {"bits": 8, "method": "nearest"}),
    ("int8 search", {"bits": 8, "method": "search"}),
    ("int4 g32 nearest", {"bits": 4, "method": "nearest"}),
    ("int4 g32 search", {"bits": 4, "method": "search"}),
    ("int4 g32 gptq asymmetric", {"bits": 4, "asymmetric": True}),
    ("int4 g128 gptq", {"bits": 4, "group_size": 128}),
    ("int4 g32 gptq, all", {"bits": 4, "head_bits": 4}),
)
RIVALS = (("q8_0", "Q8_0", "Q8_0"), ("q4_0", "Q4_0", "Q8_0"), ("q4_0, all", "Q4_0", "Q4_0"))
LEAST_SAME, MOST_LN_RATIO = 0.97, 0.003

Logits = Callable[[list[int]], Tensor]
"""Of a window of T tokens: (T, V)."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A row of the table."""

    n_bytes: int
    quality: Quality


class Table:
    """Measures against the model in full, prints, and keeps what it printed."""

    def __init__(self, model: Transformer, ids: Sequence[int], context: int) -> None:
        self._context = context
        self._windows = [
            list(ids[w.begin : w.end + 1]) for w in windows(len(ids), context, context)
        ]
        full = by_pytorch(model)
        self._full = [full(window[:-1]) for window in self._windows]
        self.rows: dict[tuple[str, str], Measured] = {}
        print(ROW.format(*HEAD), flush=True)

    def add(self, name: str, by: str, n_bytes: int, logits: Logits) -> None:
        """Score one side."""
        pairs = Pairs()
        for window, full_TV in zip(self._windows, self._full, strict=True):
            pairs.add(full_TV, logits(window[:-1]), torch.tensor(window[1:]))
        quality = pairs.result(self._context)
        self.rows[name, by] = Measured(n_bytes, quality)
        print(row(name, by, n_bytes, quality), flush=True)

    def add_both(self, name: str, model: Transformer) -> None:
        """A packed model: what its codes stand for, and what the kernels make of them."""
        self.add(name, "PyTorch", matrix_bytes(model), by_pytorch(model))
        self.add(name, "kernels", matrix_bytes(model), by_kernels(model))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table and the goals."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--run", help="measure this run")
    parser.add_argument("--tokens", type=int, default=16_384)
    parser.add_argument("--goals-only", action="store_true", help="no other methods and layouts")
    chosen = parser.parse_args(arguments)
    run = chosen.run or core.train("quick").run
    found = open_for_use(run, device="cpu", dtype="float32", threads=0)
    text = result_of(found.text(never))
    assert text is not None
    context = found.run.config.train.context
    table = Table(found.model, text.validation_ids[: chosen.tokens + 1].tolist(), context)
    table.add("f32", "kernels", matrix_bytes(found.model), by_kernels(found.model))
    add_rivals(table, found)
    for bits in (8, 4):
        table.add_both(f"int{bits}, minitf quantize", quantized(found.run.name, bits).model)
    if not chosen.goals_only:
        for name, model in rounded(found.model, text, context):
            table.add_both(name, model)
    for by, by_rival in (("kernels", "llama.cpp"), ("PyTorch", "PyTorch")):
        print("\n".join(["", *judged(table.rows, by, by_rival)]))


def add_rivals(table: Table, found: OpenRun) -> None:
    """llama.cpp's number formats, and where it is installed llama.cpp."""
    for name, number_type, of_ends in RIVALS:
        n_bytes, model = decoded(found.model, number_type, of_ends)
        table.add(name, "PyTorch", n_bytes, by_pytorch(model))
    if importlib.util.find_spec("llama_cpp") is None:
        print("llama.cpp is not installed: pip install llama-cpp-python")
        return
    from tests.interop.served import written

    for name in ("f32", "q8_0", "q4_0"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.gguf"
            written(found.model, found.tokenizer, path, name)
            table.add(name, "llama.cpp", gguf_bytes(found.model, name), by_llama(path))


def rounded(
    model: Transformer, text: TokenizedText, context: int
) -> Iterator[tuple[str, Transformer]]:
    """By methods and layouts that are not the default, on the calibration text of `quantize`."""
    train = np.asarray(text.train_ids)
    starts = np.linspace(0, len(train) - context, 32_768 // context).astype(int)
    ids_NT = torch.tensor(np.stack([train[s : s + context] for s in starts]).astype(np.int64))
    for name, switches in OTHERS:
        other, config = copy.deepcopy(model), QuantizeConfig(**switches)  # type: ignore[arg-type]
        for _ in quantize(other, plan(other, config), config.method, ids_NT):
            pass
        yield name, other


def by_pytorch(model: Transformer) -> Logits:
    """The whole window in one pass."""

    @torch.no_grad()
    def logits(ids: list[int]) -> Tensor:
        found: Tensor = model(torch.tensor([ids]))[0]
        return found

    return logits


def by_kernels(model: Transformer) -> Logits:
    """Token by token, as it decodes."""
    engine = FastEngine(model)

    def logits(ids: list[int]) -> Tensor:
        engine.rewind(0)
        return torch.cat([engine.feed([[token]]) for token in ids])

    return logits


def by_llama(path: Path) -> Logits:
    """The same of llama.cpp."""
    from tests.interop.served import their_logits

    return lambda ids: torch.from_numpy(their_logits(path, ids, n_at_once=1))


def decoded(model: Transformer, number_type: str, of_ends: str) -> tuple[int, Transformer]:
    """Bytes of the matrices, and a model with the weights that llama.cpp would compute with."""
    other, n_bytes = copy.deepcopy(model), 0
    for layout in plan(model, QuantizeConfig(bits=8)):
        weight = other.get_parameter(layout.name)
        kind = gguf.GGMLQuantizationType[of_ends if layout.name in ENDS else number_type]
        coded = gguf.quants.quantize(weight.detach().numpy(), kind)
        n_bytes += coded.nbytes
        with torch.no_grad():
            weight.copy_(torch.from_numpy(gguf.quants.dequantize(coded, kind).copy()))
    return n_bytes, other


def row(name: str, by: str, n_bytes: int, found: Quality) -> str:
    """One line of the table; ± to 95 %."""
    percentiles = dict(found.kld_percentiles)

    def half(interval: tuple[float, float]) -> float:
        return (interval[1] - interval[0]) / 2

    return ROW.format(
        name,
        by,
        f"{n_bytes:,}",
        f"{found.kld:.2e} ± {half(found.kld_ci95):.1e}",
        f"{percentiles.get(99.0, float('nan')):.1e}",
        f"{100 * found.same_top1:.2f} ± {100 * half(found.same_top1_ci95):.2f}",
        f"{found.ln_ratio:+.5f} ± {half(found.ln_ratio_ci95):.5f}",
        f"{100 * found.rms_dp:.2f} ± {100 * half(found.rms_dp_ci95):.2f}",
    )


def judged(rows: dict[tuple[str, str], Measured], by: str, by_rival: str) -> list[str]:
    """What became of each goal, by one way to compute beside another."""
    said = []

    def say(text: str, is_met: bool) -> None:
        said.append(f"{text}: {'met' if is_met else 'MISSED'}")

    for bits, rival in ((8, "q8_0"), (4, "q4_0")):
        ours, theirs = rows[f"int{bits}, minitf quantize", by], rows.get((rival, by_rival))
        quality = ours.quality
        if bits == 8:
            same, ln_ratio = quality.same_top1, quality.ln_ratio
            say(f"int8 by {by}: same top 1 {same:.2%}, goal {LEAST_SAME:.0%}", same >= LEAST_SAME)
            text = f"int8 by {by}: ln-ratio {ln_ratio:+.5f}, goal {MOST_LN_RATIO}"
            say(text, ln_ratio <= MOST_LN_RATIO)
        elif theirs is not None:
            kld, goal = quality.kld, theirs.quality.kld
            say(f"int4 by {by}: KLD {kld:.2e}, {rival} by {by_rival} {goal:.2e}", kld <= goal)
        if theirs is not None:
            sizes = f"{ours.n_bytes:,} bytes, {rival} {theirs.n_bytes:,}"
            say(f"int{bits}: {sizes}", ours.n_bytes <= theirs.n_bytes)
    return said


if __name__ == "__main__":
    main()
