"""Ways to decode one token, in turns in one process: what each is worth.

    python tests/benchmarks/engine_ways.py [small|medium|large] [threads]

Prints for each way its median time a token and its ratio to plain PyTorch's, over the turns, and
for what is compiled the seconds before its first token. `torch.compile` needs a C++ compiler.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch

from core.config import ModelConfig
from core.device import Device, choose_device
from core.infer.engines.engine import Engine
from core.infer.engines.fast import FastEngine
from core.infer.engines.graph_engine import GraphEngine
from core.infer.engines.torch_engine import TorchEngine
from core.model.transformer import Transformer

SIZES = {
    "small": (1, 128, 4, 352, 1024),
    "medium": (4, 256, 4, 704, 1024),
    "large": (12, 768, 12, 2048, 32_000),
}
ROUNDS, N_TOKENS, PROMPT = 7, 16, [list(range(16))]


def make_model(size: str) -> Transformer:
    n_layers, d_model, n_heads, d_ff, vocab_size = SIZES[size]
    config = ModelConfig(
        vocab_size=vocab_size,
        max_seq_len=2304,
        d_model=d_model,
        n_layers=n_layers,
        n_heads=n_heads,
        d_ff=d_ff,
        norm="rmsnorm",
        activation="swiglu",
    )
    return Transformer(config)


def ways(model: Transformer, threads: int) -> dict[str, Callable[[], object]]:
    """Each writes N_TOKENS after the prompt."""
    device = choose_device("cpu", "float32", threads)
    engines: dict[str, Engine] = {"torch, eager": TorchEngine(model, device)}
    engines["torch, static shapes"] = GraphEngine(model, device)
    engines |= compiled(model, device)
    fast = FastEngine(model, n_threads=threads)
    engines |= {f"fast, {n} threads": FastEngine(model, n_threads=n) for n in {1, threads}}

    def write(engine: Engine) -> Callable[[], object]:
        def run() -> object:
            engine.rewind(0)
            engine.feed(PROMPT)
            return engine.write(1, N_TOKENS)

        return run

    def feed() -> None:
        fast.rewind(0)
        logits = fast.feed(PROMPT)
        for _ in range(N_TOKENS):
            logits = fast.feed([[int(logits.argmax())]])

    found = {name: write(engine) for name, engine in engines.items()}
    found["fast, token by token"] = feed
    return found


def compiled(model: Transformer, device: Device) -> dict[str, Engine]:
    """The step of static shapes by torch.compile, plain and called from C++."""
    found: dict[str, Engine] = {}
    for name, how in (("torch.compile", {}), ("torch.compile, C++", {"cpp_wrapper": True})):
        engine = found[name] = GraphEngine(model, device)
        engine._run = torch.compile(engine._step, dynamic=False, fullgraph=True, options=how)
        began = time.perf_counter()
        engine.write(0, 1)
        print(f"{name:24} {time.perf_counter() - began:10.1f} s before its first token")
        engine.rewind(0)
    return found


def main() -> None:
    size = sys.argv[1] if len(sys.argv) > 1 else "small"
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    candidates = ways(make_model(size), threads)
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(ROUNDS + 1):
        for name, run in candidates.items():
            began = time.perf_counter()
            run()
            if turn:
                times[name].append((time.perf_counter() - began) / N_TOKENS)
    for name, samples in times.items():
        median = statistics.median(samples)
        pairs = zip(times["torch, eager"], samples, strict=True)
        ratios = sorted(eager / sample for eager, sample in pairs)
        print(
            f"{name:24} {median * 1e6:10.1f} µs a token, with the prompt"
            f"  {statistics.median(ratios):6.2f} × ({ratios[0]:.2f}–{ratios[-1]:.2f})"
        )


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
