"""Products of a matrix and a vector: float32, 8 and 4 bits, ours and PyTorch's.

    python tests/benchmarks/matrix_vector.py [--rounds 15] [--shapes 2048x768,352x128] [--threads 1,2]

All kernels take turns in each round, in an order that changes; what is told are medians over
the rounds: microseconds a product, gigabytes of weights a second, and the ratio to our float32
kernel in the same round, with its quartiles. A matrix is multiplied again and again, so small ones
come from the cache. Threads share the rows and do not wait for each other. PyTorch's kernels are
called from Python, one call a product, the packed ones with bfloat16 activations (with float32
ones they are several times slower). The last column is the error of the product, as a share of
its norm: against the float32 matrix, and against the dequantised one (what the rounding of
activations and sums adds).
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from core.openmp import tame_openmp

tame_openmp()

import numba  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from core.infer.engines.kernels import gemv_f32  # noqa: E402
from core.infer.engines.packed_kernels import gemv_q4, gemv_q8  # noqa: E402
from core.infer.engines.packed_layout import BLOCK, activation_bytes, lay_out  # noqa: E402
from core.infer.engines.rounding import round_to_int8, round_to_int16  # noqa: E402
from core.model.packed import PackedMatrix, pack_nearest  # noqa: E402

SHAPES = "352x128,1024x128,704x256,1024x256,2048x768,768x2048,32000x768"
WEIGHTS_A_SAMPLE = 2e7
ROW = "{:>10} {:>2} {:18} {:>9} {:>6} {:>18} {:>9} {:>9}"


@dataclass(frozen=True)
class Kernel:
    """A way to multiply; `run(n, threads)` does it n times, `product()` gives the result."""

    name: str
    nbytes: int
    run: Callable[[int, int], None]
    product: Callable[[], Tensor]
    dequantised: Tensor


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--shapes", default=SHAPES)
    parser.add_argument("--threads", default="1,2")
    given = parser.parse_args()
    print(ROW.format("shape", "T", "kernel", "us", "GB/s", "x float32", "error", "added"))
    for shape in given.shapes.split(","):
        rows, cols = map(int, shape.split("x"))
        generator = torch.Generator().manual_seed(0)
        weight = torch.randn(rows, cols, generator=generator) * 0.02
        x = torch.randn(cols, generator=generator)
        kernels = [*ours(weight, x), *pytorchs(weight, x)]
        for threads in map(int, given.threads.split(",")):
            torch.set_num_threads(threads)
            report(shape, threads, kernels, given.rounds, weight, x)


def report(
    shape: str, threads: int, kernels: list[Kernel], rounds: int, weight: Tensor, x: Tensor
) -> None:
    """One line a kernel."""
    n = max(2, int(WEIGHTS_A_SAMPLE / weight.numel()))
    times: dict[str, list[float]] = {kernel.name: [] for kernel in kernels}
    for _ in range(rounds):
        for kernel in random.sample(kernels, len(kernels)):
            kernel.run(1, threads)
            start = time.perf_counter()
            kernel.run(n, threads)
            times[kernel.name].append((time.perf_counter() - start) / n)
    plain = times[kernels[0].name]
    for kernel in kernels:
        taken = times[kernel.name]
        low, middle, high = statistics.quantiles(
            [a / b for a, b in zip(plain, taken, strict=True)], n=4
        )
        us, speed = statistics.median(taken) * 1e6, kernel.nbytes / statistics.median(taken) / 1e9
        y, exact = kernel.product().double(), weight.double() @ x.double()
        error = float((y - exact).norm() / exact.norm())
        added = float((y - kernel.dequantised.double() @ x.double()).norm() / exact.norm())
        ratio = f"{middle:.2f} ({low:.2f}-{high:.2f})"
        errors = f"{error:.1e}", f"{added:.1e}"
        print(ROW.format(shape, threads, kernel.name, f"{us:.1f}", f"{speed:.1f}", ratio, *errors))


# Ours: a compiled loop in each thread.


def looped(kernel: Any) -> Any:
    """The kernel n times over."""

    @numba.njit(nogil=True)
    def run(n, y, w, scales, zeros, x, xq, xs, first, end, cols, group):  # type: ignore[no-untyped-def]
        for _ in range(n):
            kernel(y, w, scales, zeros, x, xq, xs, first, end, cols, group)

    return run


F32, Q8, Q4 = looped(gemv_f32), looped(gemv_q8), looped(gemv_q4)


def ours(weight: Tensor, x: Tensor) -> list[Kernel]:
    """Float32 first, then the packed ones that fit the width."""
    made = [compiled("float32", F32, weight, (weight.data_ptr(), 0, 0), x, (0, 0), weight, 0)]
    for bits, group, symmetric in [(8, 0, True), (8, 32, True)] + [
        (4, group, symmetric) for group in (32, 64, 128) for symmetric in (True, False)
    ]:
        matrix = pack_nearest(weight, bits, group, symmetric=symmetric)
        name = f"int{bits}" + (f" g{group}" if group else "") + ("" if symmetric else " zeros")
        made.append(packed(name, matrix, x))
    return made


def packed(name: str, matrix: PackedMatrix, x: Tensor) -> Kernel:
    """Of a packed matrix; the rounding of the activations is done once and not timed."""
    laid, cols = lay_out(matrix), matrix.shape[1]
    buffers = [np.zeros(size, np.uint8) for size in activation_bytes(cols)]
    xq, xs = (buffer.ctypes.data for buffer in buffers)
    if matrix.bits == 8:
        round_to_int16(x.data_ptr(), xq, xs, cols)
    else:
        round_to_int8(x.data_ptr(), xq, xs, cols, matrix.group_size)
    loop = Q8 if matrix.bits == 8 else Q4
    keep = (laid, buffers)
    return compiled(
        name, loop, matrix.dequantize(), laid.addresses, x, (xq, xs), keep, matrix.group_size,
        matrix.nbytes,
    )  # fmt: skip


def compiled(
    name: str,
    loop: Any,
    weight: Tensor,
    addresses: tuple[int, int, int],
    x: Tensor,
    rounded: tuple[int, int],
    keep: Any,
    group: int,
    nbytes: int = 0,
) -> Kernel:
    """A kernel over shares of the rows."""
    rows, cols = weight.shape
    y = torch.zeros(rows)

    def call(n: int, first: int, end: int) -> None:
        where = (y.data_ptr(), *addresses, x.data_ptr(), *rounded)
        loop(n, *where, first, end, cols, group)

    def run(n: int, threads: int, _keep: Any = keep) -> None:
        bounds = [rows * i // threads // BLOCK * BLOCK for i in range(threads)] + [rows]
        others = [
            threading.Thread(target=call, args=(n, *bounds[i : i + 2])) for i in range(1, threads)
        ]
        for thread in others:
            thread.start()
        call(n, *bounds[:2])
        for thread in others:
            thread.join()

    def product() -> Tensor:
        run(1, 1)
        return y

    return Kernel(name, nbytes or 4 * weight.numel(), run, product, weight)


# PyTorch's: a loop in Python.


def pytorchs(weight: Tensor, x: Tensor) -> list[Kernel]:
    """torch.mv, and the packed kernels behind torch's weight-only quantisation."""
    rows, cols = weight.shape
    x_short = x.bfloat16().view(1, -1)
    eight = pack_nearest(weight, 8, 0)
    scales = eight.scales.view(-1).bfloat16()
    four = pack_nearest(weight, 4, 32)
    order = torch.ops.aten._convert_weight_to_int4pack_for_cpu(four.unpack().int(), 2)
    pairs = torch.stack((four.scales, torch.zeros_like(four.scales)), dim=2)
    pairs = pairs.transpose(0, 1).contiguous().bfloat16()
    return [
        called("torch.mv", 4 * rows * cols, lambda: torch.mv(weight, x), weight),
        called(
            "torch int8 bf16",
            eight.nbytes,
            lambda: torch._weight_int8pack_mm(x_short, eight.codes, scales),
            eight.dequantize(),
        ),
        called(
            "torch int4 g32 bf16",
            four.nbytes,
            lambda: torch.ops.aten._weight_int4pack_mm_for_cpu(x_short, order, 32, pairs),
            four.dequantize(),
        ),
    ]


def called(name: str, nbytes: int, call: Callable[[], Tensor], dequantised: Tensor) -> Kernel:
    """A kernel of PyTorch."""

    def run(n: int, _threads: int) -> None:
        with torch.inference_mode():
            for _ in range(n):
                call()

    return Kernel(name, nbytes, run, lambda: call().float().view(-1), dequantised)


if __name__ == "__main__":
    main()
