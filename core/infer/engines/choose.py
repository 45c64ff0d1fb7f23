"""Which engine decodes a model."""

from __future__ import annotations

from core.config.jobs import SINKS, WINDOW
from core.device import Device
from core.infer.engines.engine import Engine
from core.infer.engines.torch_engine import TorchEngine
from core.model.transformer import Transformer


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

    Args:
        engine: "auto", "torch" or "fast".
        cache: "static", "none", "window", "sinks" or "int8".
        window: newest positions that a windowed cache keeps.
        sinks: first positions that a "sinks" cache keeps beside them.
    """
    note = "There is no fast engine for this model." if engine == "fast" else ""
    return TorchEngine(model, device, cache=cache, window=window, sinks=sinks, note=note)
