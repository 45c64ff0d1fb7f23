"""Products of a matrix and a vector: float32, 8 and 4 bits; ours, PyTorch's and llama.cpp's.

    python tests/benchmarks/matrix_vector.py [--rounds 15] [--shapes 2048x768] [--threads 1,2]

All kernels take turns in each round, in an order that changes; what is told are medians over
the rounds: microseconds a product, gigabytes of weights a second, and the ratio to our float32
kernel in the same round, with its quartiles. A matrix is multiplied again and again, so small ones
come from the cache. Heights are multiples of 16, widths of 32. Threads share the rows and do not
wait for each other. PyTorch's kernels are called from Python, one call a product, the packed ones
with bfloat16 activations (with float32 ones they are several times slower). If llama-cpp-python
is installed, llama.cpp's products for one vector take part: q8_0 row by row, q4_0 in the order
of eight rows that it chooses itself on a processor with AVX2. The last two columns are the error
of the product, as a share of its norm: against the float32 matrix, and against the dequantised
one (what the rounding of activations and sums adds).
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from core.openmp import tame_openmp

tame_openmp()

import numba  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from gguf.quants import GGMLQuantizationType, dequantize, quantize  # noqa: E402
from torch import Tensor  # noqa: E402

from core.infer.engines import rounding  # noqa: E402
from core.infer.engines.kernels import gemv_f32  # noqa: E402
from core.infer.engines.packed_kernels import gemv_q4, gemv_q8  # noqa: E402
from core.infer.engines.packed_layout import BLOCK, activation_bytes, lay_out  # noqa: E402
from core.model.packed import PackedMatrix, pack_nearest  # noqa: E402

Q8_0, Q4_0 = GGMLQuantizationType.Q8_0, GGMLQuantizationType.Q4_0
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
    keeps: object = None
    """Memory that it is given by address."""


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
        kernels = [*ours(weight, x), *pytorchs(weight, x), *llamas(weight, x)]
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
# As they are, only compiled functions can call them.
round_to_int8 = numba.njit(rounding.round_to_int8.py_func)
round_to_int16 = numba.njit(rounding.round_to_int16.py_func)


def ours(weight: Tensor, x: Tensor) -> list[Kernel]:
    """Float32 first, then the packed ones that fit the width."""
    plain = (weight.data_ptr(), 0, 0, x.data_ptr(), 0, 0)
    made = [compiled("float32", F32, plain, (weight.size(1), 0), weight, 4 * weight.numel())]
    for bits, group, symmetric in [(8, 0, True), (8, 32, True)] + [
        (4, group, symmetric) for group in (32, 64, 128) for symmetric in (True, False)
    ]:
        if group == 0 or weight.size(1) % group == 0:
            name = f"int{bits}" + (f" g{group}" if group else "") + ("" if symmetric else " zeros")
            made.append(packed(name, pack_nearest(weight, bits, group, symmetric=symmetric), x))
    return made


def packed(name: str, matrix: PackedMatrix, x: Tensor) -> Kernel:
    """Of a packed matrix; the rounding of the activations is done once and not timed."""
    laid, group = lay_out(matrix), matrix.group_size
    buffers = [np.zeros(size, np.uint8) for size in activation_bytes(len(x))]
    where = (x.data_ptr(), *(buffer.ctypes.data for buffer in buffers))
    if matrix.bits == 8:
        round_to_int16(*where, len(x))
    else:
        round_to_int8(*where, len(x), group)
    loop, arguments = Q8 if matrix.bits == 8 else Q4, (*laid.addresses, *where)
    weight = matrix.dequantize()
    kernel = compiled(name, loop, arguments, (laid.cols, group), weight, matrix.nbytes)
    return replace(kernel, keeps=(laid, buffers))


def compiled(
    name: str,
    loop: Any,
    arguments: tuple[int, ...],
    width: tuple[int, int],
    weight: Tensor,
    nbytes: int,
) -> Kernel:
    """A kernel over shares of the rows; `arguments` from w to xs, `width` columns and group."""
    rows = weight.size(0)
    y = torch.zeros(rows)

    def call(n: int, first: int, end: int) -> None:
        loop(n, y.data_ptr(), *arguments, first, end, *width)

    def run(n: int, threads: int) -> None:
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

    return Kernel(name, nbytes, run, product, weight)


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


# llama.cpp's: a compiled loop that calls its library.


def llamas(weight: Tensor, x: Tensor) -> list[Kernel]:
    """The products for one vector of llama.cpp; none where its library is not as expected."""
    found = importlib.util.find_spec("llama_cpp")
    if found is None or found.origin is None:
        return []
    path = Path(found.origin).parent / "lib" / "libggml-cpu.so"
    try:
        library = ctypes.CDLL(str(path))
        dot, by_eight = library.ggml_vec_dot_q8_0_q8_0, library.ggml_gemv_q4_0_8x8_q8_0
    except (OSError, AttributeError):
        return []
    library.ggml_cpu_init()
    size, number = ctypes.c_size_t, ctypes.c_int
    dot.argtypes, dot.restype = [number, *[size] * 6, number], None
    by_eight.argtypes, by_eight.restype = [number, size, size, size, size, number, number], None
    rounded = quantize(x.numpy().reshape(1, -1), Q8_0)
    made = []
    for name, kind, loop in (("q8_0", Q8_0, row_by_row(dot)), ("q4_0", Q4_0, eight_rows(by_eight))):
        plain = quantize(weight.numpy(), kind)
        codes = plain if kind is Q8_0 else interleaved(plain)
        arguments = (codes.ctypes.data, 0, 0, 0, rounded.ctypes.data, 0)
        known = torch.from_numpy(dequantize(plain, kind))
        kernel = compiled(f"llama {name}", loop, arguments, (len(x), 0), known, codes.nbytes)
        made.append(replace(kernel, keeps=(codes, rounded)))
    return made


def interleaved(blocks: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """q4_0 (rows, bytes) as llama.cpp's q4_0x8: eight scales, then eight bytes of each row."""
    by_row = blocks.reshape(len(blocks) // 8, 8, -1, 18).transpose(0, 2, 1, 3)
    codes = by_row[..., 2:].reshape(*by_row.shape[:3], 2, 8).swapaxes(2, 3) ^ 0x88
    parts = (by_row[..., :2], codes)
    return np.concatenate([part.reshape(*by_row.shape[:2], -1) for part in parts], axis=2)


def row_by_row(dot: Any) -> Any:
    """A loop over the rows, for `compiled`."""

    @numba.njit(nogil=True)
    def run(n, y, w, scales, zeros, x, xq, xs, first, end, cols, group):  # type: ignore[no-untyped-def]
        for _ in range(n):
            for row in range(first, end):
                dot(cols, y + 4 * row, 0, w + row * (cols // 32 * 34), 0, xq, 0, 1)

    return run


def eight_rows(product: Any) -> Any:
    """One call for all rows, for `compiled`."""

    @numba.njit(nogil=True)
    def run(n, y, w, scales, zeros, x, xq, xs, first, end, cols, group):  # type: ignore[no-untyped-def]
        for _ in range(n):
            start = w + first * (cols // 32 * 18)
            product(cols, y + 4 * first, end - first, start, xq, 1, end - first)

    return run


if __name__ == "__main__":
    main()
