"""Which engine decodes a model, and on how many threads: measured, and kept for the machine."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict
from functools import partial

import torch

from core.config.jobs import SINKS, WINDOW
from core.device import Device
from core.infer.engines.engine import Engine
from core.infer.engines.graph_engine import GraphEngine
from core.infer.engines.torch_engine import TorchEngine
from core.infer.engines.trial import fastest, keep_choice, kept_choice
from core.model.transformer import Transformer

COMPILING = "compiling the decode step, once per machine"
Ways = dict[str, Callable[[], Engine]]
"""Engines that could decode a model, by their names and threads, simplest first."""


def make_engine(
    model: Transformer,
    device: Device,
    *,
    engine: str = "auto",
    cache: str = "static",
    window: int = WINDOW,
    sinks: int = SINKS,
) -> Engine:
    """An engine for the model; its `note` says why a wish was not met.

    The first fast engine on a machine takes a while (see `engine_stage`), and the first of a
    shape is chosen by a trial, up to a second long (see trial.py). What is kept of it depends on
    the model's config and packing, the wish, the threads, the processor or GPU, and on the
    versions of PyTorch, numba and of this program; it was measured at the first positions.

    Args:
        engine: "auto", "torch", "fast" or "graph".
        cache: "static", "none", "window", "sinks" or "int8".
        window: newest positions that a windowed cache keeps.
        sinks: first positions that a "sinks" cache keeps beside them.
    """
    ways, reason = _ways(model, device, engine, cache)
    if not ways:
        return TorchEngine(model, device, cache=cache, window=window, sinks=sinks, note=reason)
    if len(ways) == 1:
        (make,) = ways.values()
        return make()
    key = _key(model, device, engine)
    if make_kept := ways.get(kept_choice(key)):
        return make_kept()
    candidates = {name: make() for name, make in ways.items()}
    name, is_settled = fastest(candidates)
    chosen = candidates[name]
    chosen.rewind(0)
    notes = dict.fromkeys(one.note for one in candidates.values() if one.note)
    if notes:  # of what could not begin now, and may tomorrow
        chosen.note = " ".join(notes)
    else:
        keep_choice(key, name, is_settled=is_settled)
    return chosen


def engine_stage(model: Transformer, device: Device, engine: str, cache: str) -> str:
    """What somebody who waits for `make_engine` is to be told; empty if it is quick."""
    if engine not in ("auto", "fast") or _why_not_fast(model, device, cache):
        return ""
    from core.infer.engines.fast import is_compiled

    return "" if is_compiled() else COMPILING


def _ways(model: Transformer, device: Device, engine: str, cache: str) -> tuple[Ways, str]:
    """And, where there are none but PyTorch as it is, why the wish is not met."""
    ways: Ways = {}
    reason = ""
    if engine == "graph" or (engine == "auto" and device.type == "cuda"):
        reason = _why_no_graph(model, device, cache)
        if not reason:
            ways = {"graph": partial(_graph, model, device)}
    elif engine != "torch":
        reason = _why_not_fast(model, device, cache)
        if not reason:
            counts = _thread_counts(device)
            ways = {f"fast {count}": partial(_fast, model, count) for count in counts}
    if engine != "auto":
        return ways, reason
    return ({"torch": partial(TorchEngine, model, device), **ways} if ways else {}), ""


def _fast(model: Transformer, n_threads: int) -> Engine:
    """With a note on one thread where the system gives no more."""
    from core.infer.engines.fast import FastEngine

    engine = FastEngine(model, n_threads=n_threads)
    try:
        engine.write(0, 1)
    except RuntimeError as error:
        engine.close()
        engine = FastEngine(model)
        engine.note = f"The fast engine has one thread instead of {n_threads}: {error}."
    engine.rewind(0)
    return engine


def _graph(model: Transformer, device: Device) -> Engine:
    """With a note PyTorch as it is where a step cannot be recorded."""
    engine = GraphEngine(model, device)
    try:
        engine.write(0, 1)
    except RuntimeError as error:  # CUDA's: an operation that visits the host, or no memory
        why = str(error).partition("\n")[0].removesuffix(".")
        note = f"The graph engine cannot record the step: {why}."
        return TorchEngine(model, device, note=note)
    engine.rewind(0)
    return engine


def _why_no_graph(model: Transformer, device: Device, cache: str) -> str:
    """A sentence, or nothing if the graph engine decodes this."""
    if reason := _why_not_plain(model, "graph", cache):
        return reason
    if device.type != "cuda":
        return f"The graph engine records CUDA graphs, and this device is {device.type}."
    return ""


def _why_not_fast(model: Transformer, device: Device, cache: str) -> str:
    """A sentence, or nothing if the fast engine decodes this."""
    if reason := _why_not_plain(model, "fast", cache):
        return reason
    if device.type != "cpu" or device.dtype != "float32":
        return f"The fast engine computes float32 on the CPU, not {device.dtype} on {device.type}."
    if any(
        weight.dtype != torch.float32 or weight.device.type != "cpu" or not weight.is_contiguous()
        for weight in model.parameters()
    ):
        return "The fast engine needs the weights in float32 and in order."
    return _why_no_numba()


def _why_not_plain(model: Transformer, engine: str, cache: str) -> str:
    if cache != "static":
        return f"The {engine} engine has the static cache only, not {cache!r}."
    if type(model) is not Transformer:
        return f"The {engine} engine computes a Transformer, not {type(model).__name__}."
    if any(module._forward_hooks or module._forward_pre_hooks for module in model.modules()):
        return f"The {engine} engine calls no hooks, and this model has some."
    return ""


def _why_no_numba() -> str:
    if importlib.util.find_spec("numba") is None:
        return "The fast engine needs numba, which is not installed."
    try:
        importlib.import_module("numba")
    except (ImportError, OSError) as error:  # of another numpy, or without its libraries
        why = str(error).strip().removesuffix(".")
        return f"The fast engine needs numba, which cannot be loaded: {why}."
    return ""


def _thread_counts(device: Device) -> list[int]:
    """1, 2, 4 … and all that the device may use; or what somebody asked for."""
    if device.has_fixed_threads:
        return [device.threads]
    powers = [1 << i for i in range(device.threads.bit_length()) if 1 << i < device.threads]
    return [*powers, max(1, device.threads)]


def _key(model: Transformer, device: Device, engine: str) -> str:
    """What the choice depends on, this program's own code among it."""
    packed = sorted({(matrix.bits, matrix.group_size) for matrix in model.packed.values()})
    machine = (platform.node(), platform.machine(), os.cpu_count(), _processor(device))
    about = (asdict(model.config), packed, machine, torch.__version__, asdict(device), engine)
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]


def _processor(device: Device) -> tuple[str, ...]:
    """That computes, and what made its code."""
    if device.type == "cuda":
        return (torch.cuda.get_device_name(),)
    from llvmlite import binding
    from numba import __version__ as numba_version

    from core.infer.engines.compiled import sources_digest

    return binding.get_host_cpu_name(), numba_version, sources_digest()
