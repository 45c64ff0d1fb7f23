"""Integer vectors for compiled functions: what products of packed weights are made of.

Vectors have 256 bits: Int8x32 ("bytes"), Int16x16 ("shorts"), Int32x8 ("ints"). All is LLVM's
portable vector code, but for x86's multiply-and-add-neighbours (vpmaddwd, vpmaddubsw) and its
conversion from float16, which are named where the processor has them: LLVM does not find
vpmaddubsw, because that saturates and the portable sum does not (ours never reaches the bounds).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.datamodel.registry import register_default
from numba.core.registry import cpu_target
from numba.extending import models

from core.infer.engines.memory import F32, I32, external, instruction, pointer
from core.infer.engines.vectors import float8

I8, I16 = ir.IntType(8), ir.IntType(16)
_FLOATS, _INTS = ir.VectorType(F32, 8), ir.VectorType(I32, 8)
_SHORTS, _BYTES = ir.VectorType(I16, 16), ir.VectorType(I8, 32)
_HALVES = ir.VectorType(ir.HalfType(), 8)
_LAST_BIT_OF_HALF = 2.0**112
"""What a float16's exponent, read as a float32's, lacks."""


class _Vector(types.Type):
    def __init__(self, lane: ir.Type, n_lanes: int) -> None:
        self.llvm = ir.VectorType(lane, n_lanes)
        super().__init__(name=f"{lane}x{n_lanes}")


@register_default(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, kind.llvm)


bytes32, shorts16, ints8 = _Vector(I8, 32), _Vector(I16, 16), _Vector(I32, 8)


def processor_has(feature: str) -> bool:
    """Whether the machine that numba compiles for is an x86 with this feature, in LLVM's words."""
    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    return triple.startswith(("x86_64", "i686")) and f"+{feature}" in features.split(",")


def _constant(kind: ir.VectorType, value: float) -> ir.Constant:
    return ir.Constant(kind, [value] * kind.count)


def _fill(builder: ir.IRBuilder, value: ir.Value, kind: ir.VectorType) -> ir.Value:
    """A vector of the lane's copies, read as `kind`."""
    lanes = ir.VectorType(value.type, 8)
    anything = ir.Constant(lanes, ir.Undefined)
    first = builder.insert_element(anything, value, I32(0))
    return builder.bitcast(
        builder.shuffle_vector(first, anything, ir.Constant(_INTS, [0] * 8)), kind
    )


def _filled(kind: ir.VectorType) -> Any:
    def emit(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
        return _fill(builder, builder.load(pointer(builder, args[0], I32), align=4), kind)

    return emit


def _load(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    return builder.load(pointer(builder, args[0], _BYTES), align=16)


def _load_widened(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    codes = builder.load(pointer(builder, args[0], ir.VectorType(I8, 16)), align=16)
    return builder.sext(codes, _SHORTS)


def _load_halves(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    if processor_has("f16c"):
        halves = builder.load(pointer(builder, args[0], _HALVES), align=16)
        return builder.fpext(halves, _FLOATS)
    shorts = builder.load(pointer(builder, args[0], ir.VectorType(I16, 8)), align=16)
    wide = builder.sext(shorts, _INTS)
    magnitude = builder.shl(builder.and_(wide, _constant(_INTS, 0x7FFF)), _constant(_INTS, 13))
    value = builder.fmul(builder.bitcast(magnitude, _FLOATS), _constant(_FLOATS, _LAST_BIT_OF_HALF))
    sign = builder.and_(wide, _constant(_INTS, -(2**31)))
    return builder.bitcast(builder.or_(builder.bitcast(value, _INTS), sign), _FLOATS)


def _neighbours(builder: ir.IRBuilder, products: ir.Value) -> ir.Value:
    n_lanes = products.type.count // 2
    lanes = ir.VectorType(I32, n_lanes)
    even, odd = (ir.Constant(lanes, list(range(first, 2 * n_lanes, 2))) for first in (0, 1))
    return builder.add(
        builder.shuffle_vector(products, products, even),
        builder.shuffle_vector(products, products, odd),
    )


def _dot_pairs(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    if processor_has("avx2"):
        return external(builder, "llvm.x86.avx2.pmadd.wd", _INTS, args)
    wide = ir.VectorType(I32, 16)
    return _neighbours(builder, builder.mul(*(builder.sext(arg, wide) for arg in args)))


def _dot_bytes(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    if processor_has("avx2"):
        return external(builder, "llvm.x86.avx2.pmadd.ub.sw", _SHORTS, args)
    wide = ir.VectorType(I16, 32)
    products = builder.mul(builder.zext(args[0], wide), builder.sext(args[1], wide))
    return _neighbours(builder, products)


def _low(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    return builder.and_(args[0], _constant(_BYTES, 15))


def _high(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    return builder.lshr(args[0], _constant(_BYTES, 4))


def _add(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    return builder.add(*args)


def _to_floats(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    return builder.sitofp(args[0], _FLOATS)


def _no_ints(_builder: ir.IRBuilder, _args: Sequence[ir.Value]) -> ir.Value:
    return _constant(_INTS, 0)


def _no_shorts(_builder: ir.IRBuilder, _args: Sequence[ir.Value]) -> ir.Value:
    return _constant(_SHORTS, 0)


def _no_floats(_builder: ir.IRBuilder, _args: Sequence[ir.Value]) -> ir.Value:
    return _constant(_FLOATS, 0.0)


def _sum_pairs(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    return _dot_pairs(builder, [args[0], _constant(_SHORTS, 1)])


def _round(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    magic = _constant(_FLOATS, 1.5 * 2**23)
    bits = builder.bitcast(builder.fadd(args[0], magic), _INTS)
    return builder.sub(bits, builder.bitcast(magic, _INTS))


def _store_narrowed(lane: ir.Type) -> Any:
    def emit(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> None:
        kind = ir.VectorType(lane, 8)
        builder.store(builder.trunc(args[1], kind), pointer(builder, args[0], kind), align=4)

    return emit


def _store_one(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> None:
    builder.store(args[1], pointer(builder, args[0], I32), align=4)


def _sum_ints(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    return external(builder, "llvm.vector.reduce.add.v8i32", I32, args)


def _lane(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    return builder.extract_element(*args)


def _with_lane(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    return builder.insert_element(*args)


load_bytes = instruction(bytes32(types.int64), _load)
load_widened = instruction(shorts16(types.int64), _load_widened)
"""16 int8, as int16."""
load_halves = instruction(float8(types.int64), _load_halves)
"""8 float16, finite, as float32."""
fill_bytes = instruction(bytes32(types.int64), _filled(_BYTES))
"""Four bytes, eight times."""
fill_shorts = instruction(shorts16(types.int64), _filled(_SHORTS))
"""Two int16, eight times."""
fill_ints = instruction(ints8(types.int64), _filled(_INTS))
"""One int32, eight times."""
fill_floats = instruction(float8(types.int64), _filled(_FLOATS))
"""One float32, eight times."""
no_floats = instruction(float8(), _no_floats)
no_ints = instruction(ints8(), _no_ints)
no_shorts = instruction(shorts16(), _no_shorts)
low_nibbles = instruction(bytes32(bytes32), _low)
high_nibbles = instruction(bytes32(bytes32), _high)
dot_pairs = instruction(ints8(shorts16, shorts16), _dot_pairs)
"""Sums of two neighbouring products."""
dot_bytes = instruction(shorts16(bytes32, bytes32), _dot_bytes)
"""Sums of two neighbouring products, unsigned times signed; they must fit 16 bits."""
sum_pairs = instruction(ints8(shorts16), _sum_pairs)
"""Sums of two neighbours."""
add_shorts = instruction(shorts16(shorts16, shorts16), _add)
add_ints = instruction(ints8(ints8, ints8), _add)
to_floats = instruction(float8(ints8), _to_floats)
round8 = instruction(ints8(float8), _round)
"""The nearest integers, of numbers within ± 2^22; of others anything."""
store_shorts = instruction(types.void(types.int64, ints8), _store_narrowed(I16))
store_bytes = instruction(types.void(types.int64, ints8), _store_narrowed(I8))
store_int32 = instruction(types.void(types.int64, types.int32), _store_one)
sum_ints = instruction(types.int32(ints8), _sum_ints)
lane8 = instruction(types.float32(float8, types.int64), _lane)
with_lane8 = instruction(float8(float8, types.float32, types.int64), _with_lane)
"""The vector with another number in one lane."""
