"""Numbers in memory by their address, for compiled functions.

Addresses are int64. Outside of compiled functions none of these can be called. Plain loads and
stores are for memory that one thread owns or that a barrier separates; those named
`acquire` and `release` are how threads hand memory to each other.
"""

from __future__ import annotations

import inspect
import platform
import sys
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

I32, I64, F32, F64 = ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.DoubleType()
Emit = Callable[[ir.IRBuilder, Sequence[ir.Value]], ir.Value | None]


def instruction(signature: Any, emit: Emit) -> Any:
    """A function for compiled code, given by the LLVM instructions that it stands for."""

    def define(_context: Any, *_args: Any) -> Any:
        def lower(context: Any, builder: ir.IRBuilder, _signature: Any, args: Any) -> Any:
            value = emit(builder, args)
            return context.get_dummy_value() if value is None else value

        return signature, lower

    names = ["_context", *(f"x{i}" for i in range(len(signature.args)))]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    define.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, kind) for name in names]
    )
    return intrinsic(define)


def external(
    builder: ir.IRBuilder, name: str, result: ir.Type, args: Sequence[ir.Value], **how: Any
) -> ir.Value:
    """Call a function of LLVM or of the C library."""
    kind = ir.FunctionType(result, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args, **how)


def pointer(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    """`address` as a pointer to `kind`."""
    return builder.inttoptr(address, kind.as_pointer())


def _load(kind: ir.Type) -> Emit:
    return lambda builder, args: builder.load(pointer(builder, args[0], kind))


def _word(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    return builder.load(builder.gep(pointer(builder, args[0], I64), [args[1]]))


def _store(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> None:
    builder.store(args[1], pointer(builder, args[0], args[1].type))


def _acquire(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> ir.Value:
    return builder.load_atomic(pointer(builder, args[0], I64), "seq_cst", 8)


def _release(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> None:
    builder.store_atomic(args[1], pointer(builder, args[0], I64), "seq_cst", 8)


def _hint(builder: ir.IRBuilder, _args: Sequence[ir.Value]) -> None:
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64", "i686", "x86"):
        external(builder, "llvm.x86.sse2.pause", ir.VoidType(), [])
    elif machine in ("arm64", "aarch64"):
        external(builder, "llvm.aarch64.hint", ir.VoidType(), [I32(1)])


def _yield(builder: ir.IRBuilder, _args: Sequence[ir.Value]) -> None:
    name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
    external(builder, name, I32, [])


integer = instruction(types.int64(types.int64), lambda _, args: args[0])
"""A constant as any other int64: numba compiles a function once more for arguments that are
constants."""
load_int = instruction(types.int64(types.int64), _load(I64))
word = instruction(types.int64(types.int64, types.int64), _word)
"""The int64 of that index in those at an address."""
load_float = instruction(types.float32(types.int64), _load(F32))
load_double = instruction(types.float64(types.int64), _load(F64))
store_int = instruction(types.void(types.int64, types.int64), _store)
store_float = instruction(types.void(types.int64, types.float32), _store)
acquire = instruction(types.int64(types.int64), _acquire)
"""Load, and see whatever was written before the matching `release`."""
release = instruction(types.void(types.int64, types.int64), _release)
"""Store, after everything written before it."""
spin_hint = instruction(types.void(), _hint)
"""Tell the processor that this thread waits in a loop."""
give_way = instruction(types.void(), _yield)
"""Let another thread have this core, if one waits for it."""
