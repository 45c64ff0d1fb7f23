"""Eight float32 at once, for compiled functions, on whatever the processor has for them.

LLVM turns the operations into the widest instructions of the machine: one for eight numbers
with AVX2, two with NEON or SSE. Memory is unaligned and given by address.

Source of `exp8`: the range reduction and polynomial of Cephes' expf (S. Moshier, 1987);
relative error below 2e-7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.datamodel.registry import register_default
from numba.extending import models

from core.infer.engines.compiled import compiled
from core.infer.engines.memory import F32, I32, external, instruction, pointer

LANES = 8
LANES_BYTES = 4 * LANES
_VECTOR = ir.VectorType(F32, LANES)
_INTS = ir.VectorType(I32, LANES)
_FLAGS = ("afn", "arcp", "contract", "nsz", "reassoc")
"""Everything but the promise that there is no NaN and no infinity."""


class _Float8(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Float8")


@register_default(_Float8)
class _Float8Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


float8 = _Float8()


def _binary(name: str) -> Any:
    def emit(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
        return getattr(builder, name)(*args, flags=_FLAGS)

    return instruction(float8(float8, float8), emit)


def _load(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    return builder.load(pointer(builder, args[0], _VECTOR), align=4)


def _store(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> None:
    builder.store(args[1], pointer(builder, args[0], _VECTOR), align=4)


def _splat(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    anything = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(anything, args[0], I32(0))
    return builder.shuffle_vector(first, anything, ir.Constant(_INTS, [0] * LANES))


def _multiply_add(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    return external(builder, "llvm.fmuladd.v8f32", _VECTOR, args)


def _maximum(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    return builder.select(builder.fcmp_ordered(">", *args), *args)


def _sum(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    zero = ir.Constant(F32, 0.0)
    return external(builder, "llvm.vector.reduce.fadd.v8f32", F32, [zero, args[0]], fastmath=_FLAGS)


def _largest(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    return external(builder, "llvm.vector.reduce.fmax.v8f32", F32, args)


def _is_among(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    bits = builder.bitcast(builder.fcmp_ordered("==", *args), ir.IntType(LANES))
    return builder.icmp_unsigned("!=", bits, ir.IntType(LANES)(0))


def _times_power(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    shift = ir.Constant(_INTS, [23] * LANES)
    power = builder.shl(builder.bitcast(args[1], _INTS), shift)
    return builder.bitcast(builder.add(builder.bitcast(args[0], _INTS), power), _VECTOR)


def _exact_sum(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    return builder.fadd(*args)


load8 = instruction(float8(types.int64), _load)
store8 = instruction(types.void(types.int64, float8), _store)
splat8 = instruction(float8(types.float32), _splat)
"""The same number in all lanes."""
add8, sub8, mul8, div8 = map(_binary, ("fadd", "fsub", "fmul", "fdiv"))
madd8 = instruction(float8(float8, float8, float8), _multiply_add)
"""a · b + c."""
max8 = instruction(float8(float8, float8), _maximum)
"""The larger ones; the second where either is not a number."""
sum8 = instruction(types.float32(float8), _sum)
largest8 = instruction(types.float32(float8), _largest)
is_among8 = instruction(types.boolean(float8, float8), _is_among)
"""Whether any lane of one equals that of the other."""
_times_power8 = instruction(float8(float8, float8), _times_power)
_exact_sum8 = instruction(float8(float8, float8), _exact_sum)

_ROUND = np.float32(1.5 * 2**23)
"""Added to a number, it leaves the nearest integer in the lowest bits."""
_LOG2_E = np.float32(1.44269504)
_LN2_HIGH, _LN2_LOW = np.float32(-0.693359375), np.float32(2.12194440e-4)
_LEAST, _MOST = np.float32(-87.0), np.float32(88.0)
_P0, _P1, _P2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519e-3)
_P3, _P4, _P5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(0.5)
_ONE = np.float32(1)


@compiled
def exp8(x: Any) -> Any:
    """e to the power of x; of x below -87 as of -87, and above 88 as of 88. What is not a number
    stays so, in its own lane."""
    zero = splat8(np.float32(0))
    x = max8(splat8(_LEAST), x)
    x = sub8(zero, max8(splat8(-_MOST), sub8(zero, x)))
    magic = splat8(_ROUND)
    shifted = _exact_sum8(mul8(x, splat8(_LOG2_E)), magic)
    n = _exact_sum8(shifted, splat8(-_ROUND))
    x = madd8(n, splat8(_LN2_LOW), madd8(n, splat8(_LN2_HIGH), x))
    p = madd8(splat8(_P0), x, splat8(_P1))
    p = madd8(p, x, splat8(_P2))
    p = madd8(p, x, splat8(_P3))
    p = madd8(p, x, splat8(_P4))
    p = madd8(p, x, splat8(_P5))
    power = _times_power8(add8(madd8(mul8(x, x), p, x), splat8(_ONE)), shifted)
    return madd8(x, zero, power)  # the bits of a NaN may have become those of a number


@compiled
def sigmoid8(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    one = splat8(_ONE)
    return div8(one, add8(one, exp8(sub8(splat8(np.float32(0)), x))))


@compiled
def tanh8(x: Any) -> Any:
    """2 sigmoid(2x) - 1."""
    two = splat8(np.float32(2))
    return sub8(mul8(two, sigmoid8(mul8(two, x))), splat8(_ONE))
