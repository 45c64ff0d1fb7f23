"""minitf's engine: train, evaluate, benchmark and sample small transformers.

    import core

    result = core.train("quick", corpus="book.txt", seconds=30)
    print(core.generate(result.run, "Once upon").text)

Names are resolved when they are first used: `import core` imports nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "train": "core.api",
    "resume": "core.api",
    "replay": "core.api",
    "fork": "core.controlling",
    "control": "core.controlling",
    "status": "core.controlling",
    "duel": "core.comparing",
    "sweep": "core.comparing",
    "evaluate": "core.api",
    "generate": "core.api",
    "generate_batch": "core.api",
    "benchmark": "core.api",
    "quantize": "core.api",
    "forecast": "core.api",
    "export_model": "core.api",
    "import_model": "core.api",
    "estimate": "core.plans",
    "list_runs": "core.store.summary",
    "preset": "core.presets",
    "RunConfig": "core.config.run",
    "ModelConfig": "core.config.model",
    "TextConfig": "core.config.text",
    "TrainConfig": "core.config.train",
    "EvalConfig": "core.config.train",
    "SamplingConfig": "core.config.jobs",
    "BenchConfig": "core.config.jobs",
    "CacheConfig": "core.config.jobs",
    "QuantizeConfig": "core.config.quantize",
    "Command": "core.config.control",
    "TrainResult": "core.events.training",
    "Evaluation": "core.events.measuring",
    "Forecast": "core.events.measuring",
    "Generation": "core.events.writing",
    "GenerationBatch": "core.events.writing",
    "Benchmark": "core.events.benchmarking",
    "Quantization": "core.events.quantizing",
    "Duel": "core.events.dueling",
    "Sweep": "core.events.sweeping",
    "Export": "core.events.moving",
    "Import": "core.events.moving",
    "MinitfError": "core.errors",
    "Transformer": "core.model.transformer",
    "KVCache": "core.model.kv_cache",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'core' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
