"""What int8 and int4 cost in quality, beside llama.cpp's q8_0 and q4_0 of the same model.

    python tests/benchmarks/quantize_quality.py                # trains the preset quick, 90 s
    python tests/benchmarks/quantize_quality.py --run RUN      # a run that is there already

All are compared with the weights in full on the same held-out text. The rivals' weights are
those of our own gguf export, encoded and decoded by the gguf package: exactly the numbers that
llama.cpp reads, computed here in float32. Bytes are those of the matrices alone, the same ones
on both sides; q4_0 as we export it keeps embedding and head in q8_0, as `quantize` does in 8 bits.
The row "q4_0, all" has them in q4_0 too.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from core.openmp import tame_openmp

tame_openmp()

import gguf  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

import core  # noqa: E402
from core.config import QuantizeConfig  # noqa: E402
from core.events import Quality  # noqa: E402
from core.infer.quantize import plan, quantize  # noqa: E402
from core.measure.quality import compare  # noqa: E402
from core.model.transformer import Transformer  # noqa: E402
from core.open_run import open_for_use  # noqa: E402
from core.store.stages import never  # noqa: E402
from core.testing import result_of  # noqa: E402

ROW = "{:28} {:>9} {:>10} {:>10} {:>18} {:>18} {:>11}"
ENDS = ("embedding.weight", "head.weight")
OURS: tuple[tuple[str, dict[str, object]], ...] = (
    ("int8 nearest", {"bits": 8, "method": "nearest"}),
    ("int8 search", {"bits": 8, "method": "search"}),
    ("int8 gptq", {"bits": 8}),
    ("int4 g32 nearest", {"bits": 4, "method": "nearest"}),
    ("int4 g32 search", {"bits": 4, "method": "search"}),
    ("int4 g32 gptq", {"bits": 4}),
    ("int4 g32 gptq asymmetric", {"bits": 4, "asymmetric": True}),
    ("int4 g128 gptq", {"bits": 4, "group_size": 128}),
    ("int4 g32 gptq, all", {"bits": 4, "head_bits": 4}),
)
RIVALS = (("q8_0", "Q8_0", "Q8_0"), ("q4_0", "Q4_0", "Q8_0"), ("q4_0, all", "Q4_0", "Q4_0"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--run", help="measure this run")
    parser.add_argument("--tokens", type=int, default=16_384)
    chosen = parser.parse_args(arguments)
    run = chosen.run or core.train("quick").run
    found = open_for_use(run, device="cpu", dtype="float32", threads=0)
    text = result_of(found.text(never))
    assert text is not None
    context, train = found.run.config.train.context, np.asarray(text.train_ids)
    scored = np.asarray(text.validation_ids[: chosen.tokens + 1])
    starts = np.linspace(0, len(train) - context, 32_768 // context).astype(int)
    ids_NT = torch.tensor(np.stack([train[s : s + context] for s in starts]).astype(np.int64))
    print(
        ROW.format("weights", "bytes", "mean KLD", "99 %", "same top 1 (%)", "ln-ratio", "RMS Δp")
    )

    def show(name: str, n_bytes: int, model: Transformer) -> None:
        quality = result_of(compare(found.model, model, scored, context, found.device))
        print(row(name, n_bytes, quality), flush=True)

    for name, number_type, of_ends in RIVALS:
        show(f"llama.cpp {name}", *rival(found.model, number_type, of_ends))
    for name, switches in OURS:
        model, config = copy.deepcopy(found.model), QuantizeConfig(**switches)  # type: ignore[arg-type]
        for _ in quantize(model, plan(model, config), config.method, ids_NT):
            pass
        show(name, sum(matrix.nbytes for matrix in model.packed.values()), model)


def row(name: str, n_bytes: int, found: Quality) -> str:
    """One line of the table."""
    percentiles = dict(found.kld_percentiles)

    def half(interval: tuple[float, float]) -> float:
        return (interval[1] - interval[0]) / 2

    return ROW.format(
        name,
        f"{n_bytes:,}",
        f"{found.kld:.2e}",
        f"{percentiles.get(99.0, float('nan')):.1e}",
        f"{100 * found.same_top1:.2f} ± {100 * half(found.same_top1_ci95):.2f}",
        f"{found.ln_ratio:+.5f} ± {half(found.ln_ratio_ci95):.5f}",
        f"{100 * found.rms_dp:.2f} %",
    )


def rival(model: Transformer, number_type: str, of_ends: str) -> tuple[int, Transformer]:
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


if __name__ == "__main__":
    main()
