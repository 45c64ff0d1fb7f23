"""Which engine decodes a model, and on how many threads: measured, and kept for the machine."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import platform
import statistics
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict

import torch

from core.config.jobs import SINKS, WINDOW
from core.device import Device
from core.errors import StoreError
from core.infer.engines.engine import Engine
from core.infer.engines.torch_engine import TorchEngine
from core.model.transformer import Transformer
from core.paths import cache_dir
from core.store.files import make_folder, write_atomically

COMPILING = "compiling the decode step, once per machine"
ROUNDS, ROUND_S, MOST_TOKENS = 5, 0.01, 24
"""Of the probe: turns of each engine, and about how long, or how many tokens, it writes in one."""
MARGIN = 0.97
"""A share of the time of what is simpler that must be undercut."""


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
    shape is chosen by a probe, some 100 ms or three tokens of each candidate.

    Args:
        engine: "auto", "torch" or "fast".
        cache: "static", "none", "window", "sinks" or "int8".
        window: newest positions that a windowed cache keeps.
        sinks: first positions that a "sinks" cache keeps beside them.
    """
    reason = "" if engine == "torch" else _why_not_fast(model, device, cache)
    if engine == "torch" or reason:
        note = reason if engine == "fast" else ""
        return TorchEngine(model, device, cache=cache, window=window, sinks=sinks, note=note)
    from core.infer.engines.fast import FastEngine

    counts = _thread_counts(device)
    kept = _kept(key := _key(model, device, engine))
    if kept not in (counts if engine == "fast" else [0, *counts]):
        candidates: dict[int, Engine] = {} if engine == "fast" else {0: TorchEngine(model, device)}
        for n_threads in counts:
            candidates[n_threads] = FastEngine(model, n_threads=n_threads)
        kept = _fastest(candidates)
        _keep(key, kept)
        candidates[kept].rewind(0)
        return candidates[kept]
    return FastEngine(model, n_threads=kept) if kept else TorchEngine(model, device)


def engine_stage(model: Transformer, device: Device, engine: str, cache: str) -> str:
    """What somebody who waits for `make_engine` is to be told; empty if it is quick."""
    if engine == "torch" or _why_not_fast(model, device, cache):
        return ""
    from core.infer.engines.fast import is_compiled

    return "" if is_compiled() else COMPILING


def _why_not_fast(model: Transformer, device: Device, cache: str) -> str:
    """A sentence, or nothing if the fast engine decodes this."""
    if cache != "static":
        return f"The fast engine has the static cache only, not {cache!r}."
    if type(model) is not Transformer:
        return f"The fast engine computes a Transformer, not {type(model).__name__}."
    if any(module._forward_hooks or module._forward_pre_hooks for module in model.modules()):
        return "The fast engine calls no hooks, and this model has some."
    if device.type != "cpu" or device.dtype != "float32":
        return f"The fast engine computes float32 on the CPU, not {device.dtype} on {device.type}."
    if any(
        weight.dtype != torch.float32 or weight.device.type != "cpu" or not weight.is_contiguous()
        for weight in model.parameters()
    ):
        return "The fast engine needs the weights in float32 and in order."
    return _why_no_numba()


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
    """1, 2, 4 … and all that the device may use."""
    powers = [1 << i for i in range(device.threads.bit_length()) if 1 << i < device.threads]
    return [*powers, max(1, device.threads)]


def _fastest(candidates: Mapping[int, Engine]) -> int:
    """By writing in turns; who needs more threads must be faster by a margin."""
    n_tokens = {key: _tokens_in_time(engine) for key, engine in candidates.items()}
    times: dict[int, list[float]] = {key: [] for key in candidates}
    for _ in range(ROUNDS):
        for key, engine in candidates.items():
            times[key].append(_time(engine, n_tokens[key]))
    best, *others = candidates
    for key in others:
        if statistics.median(times[key]) < MARGIN * statistics.median(times[best]):
            best = key
    return best


def _tokens_in_time(engine: Engine) -> int:
    most = max(1, min(MOST_TOKENS, engine.max_seq_len))
    _time(engine, 1)  # with what happens once
    return max(1, min(most, int(ROUND_S / _time(engine, 1))))


def _time(engine: Engine, n: int) -> float:
    """Seconds a token."""
    engine.rewind(0)
    began = time.perf_counter()
    engine.write(0, n)
    return (time.perf_counter() - began) / n


def _key(model: Transformer, device: Device, engine: str) -> str:
    """What the choice depends on, this program's own code among it."""
    from llvmlite import binding
    from numba import __version__ as numba_version

    from core.infer.engines.compiled import sources_digest

    packed = sorted({(matrix.bits, matrix.group_size) for matrix in model.packed.values()})
    machine = (platform.node(), platform.machine(), binding.get_host_cpu_name(), os.cpu_count())
    code = (torch.__version__, numba_version, sources_digest())
    about = (asdict(model.config), packed, machine, code, device.threads, engine)
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]


def _kept(key: str) -> int | None:
    """The number of threads that was chosen before; 0 is PyTorch. The file may say anything."""
    try:
        return int(json.loads((cache_dir() / "engines" / f"{key}.json").read_bytes())["threads"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _keep(key: str, threads: int) -> None:
    """Without a writable folder it is measured again."""
    with suppress(StoreError, OSError):
        make_folder(cache_dir() / "engines")
        data = json.dumps({"threads": threads}).encode()
        write_atomically(cache_dir() / "engines" / f"{key}.json", data)
