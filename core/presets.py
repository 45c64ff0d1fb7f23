"""Named configs. `quick` is what a newcomer meets; `seed` is the experiment minitf grew from;
the others are shapes that the field knows by these names.

`quick` was chosen by measuring (docs/lab-notes.md). Its second limit, 10 passes over the text,
is there for short texts on fast machines: after that it would learn them by heart.

`grokking` is arXiv:2201.02177 in small: on the answers alone, with strong weight decay.

Sources: nano, micro and mini, github.com/karpathy/minGPT; gpt2, Radford et al. 2019 §2.3, the
smallest; the llama's parts, arXiv:2302.13971 §2.2; stories, github.com/karpathy/llama2.c. The
bench-* shapes are minitf's own: one bound by calls, one between, one by memory.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from core.config import EvalConfig, ModelConfig, RunConfig, TextConfig, TrainConfig
from core.errors import ConfigError, did_you_mean

FAST: dict[str, Any] = {
    "optimizer": "muon",
    "muon_rows": 32,
    "matrix_lr": 3e-3,
    "embedding_lr": 2e-2,
    "rows": "shuffled",
    "schedule": "flat_linear",
    "decay_share": 0.6,
    "min_lr": 0.0,
    "warmup_steps": 20,
    "weight_decay": 0.5,
}
"""How a small model learns most in little time, and does not learn a short text by heart."""
SMALL: dict[str, Any] = {
    "n_kv_heads": 1,
    "qk_norm": True,
    "activation": "swiglu",
    "d_ff": 256,
    "zero_init": True,
}
"""Parts with which it does; one key/value head leaves time for more steps."""

QUICK = RunConfig(
    model=ModelConfig(max_seq_len=128, d_model=128, n_layers=2, n_heads=4, **SMALL),
    text=TextConfig(corpus="python-docs", tokenizer="bpe", vocab_size=512),
    train=TrainConfig(context=128, batch_size=8, seconds=90.0, epochs=10.0, lr=6e-3, **FAST),
    eval=EvalConfig(eval_interval=200, sample_interval=100),
)
QUICK_LARGE = RunConfig(
    model=ModelConfig(max_seq_len=256, d_model=128, n_layers=4, n_heads=4, **SMALL),
    text=QUICK.text,
    train=replace(QUICK.train, context=256, batch_size=6, seconds=360.0),
    eval=EvalConfig(eval_interval=500, sample_interval=250),
)

SEED = RunConfig(
    model=ModelConfig(max_seq_len=1024, d_model=128, n_layers=1, n_heads=4),
    text=TextConfig(
        corpus="python-docs",
        tokenizer="bpe",
        vocab_size=1004,
        validation_fraction=0.2,
        max_tokens=50_000,
    ),
    train=TrainConfig(
        context=128, batch_size=16, steps=100, lr=1e-3, warmup_steps=10, schedule="constant"
    ),
    eval=EvalConfig(eval_interval=50, sample_interval=0),
)
SEED_BEST = replace(
    SEED,
    model=replace(SEED.model, zero_init=True),
    train=replace(
        SEED.train,
        lr=4e-3,
        **FAST
        | {"matrix_lr": 5e-3, "embedding_lr": 0.0, "muon_rows": 0}
        | {"decay_share": 0.8, "warmup_steps": 3, "weight_decay": 1.0},
    ),
)
"""The same model, tokens, steps and batch, by a better recipe. 40,000 tokens are read five times,
so that more weight decay and lower rates than elsewhere pay."""

GROKKING = RunConfig(
    model=ModelConfig(max_seq_len=5, d_model=64, n_layers=1, n_heads=4),
    text=TextConfig(corpus="task:modular", task_size=53, tokenizer="char", validation_fraction=0.6),
    train=TrainConfig(
        context=5,
        batch_size=256,
        steps=2400,
        lr=3e-3,
        warmup_steps=10,
        schedule="wsd",
        decay_share=0.3,
        weight_decay=1.0,
        beta2=0.98,
        answers_only=True,
        checkpoint_interval=0,
    ),
    eval=EvalConfig(eval_interval=50, sample_interval=0, sample_tokens=0),
)


class Shape(NamedTuple):
    """A model by its numbers, and how it is trained."""

    n_layers: int
    n_heads: int
    d_model: int
    context: int
    vocab_size: int
    """Tokens asked for; a short text yields fewer, and the model has what it yields."""
    batch_size: int
    lr: float
    seconds: float = 0.0
    steps: int = 0


NANO = Shape(3, 3, 48, 128, 512, batch_size=8, lr=1e-2, seconds=60.0)
MICRO = Shape(4, 4, 128, 128, 1024, batch_size=8, lr=3e-3, seconds=120.0)
MINI = Shape(6, 6, 192, 256, 2048, batch_size=8, lr=2e-3, seconds=300.0)
GPT2_SMALL = Shape(12, 12, 768, 1024, 50_257, batch_size=8, lr=6e-4, steps=2000)
LLAMA_125M = GPT2_SMALL._replace(vocab_size=32_000)
STORIES_260K = Shape(5, 8, 64, 512, 512, batch_size=4, lr=5e-3, seconds=120.0)
STORIES_15M = Shape(6, 6, 288, 256, 32_000, batch_size=32, lr=1e-3, steps=2000)

GPT2: dict[str, Any] = {
    "positions": "learned",
    "norm": "layernorm",
    "activation": "gelu_tanh",
    "bias": True,
    "tied_head": True,
}
LLAMA: dict[str, Any] = {
    "positions": "rope",
    "norm": "rmsnorm",
    "activation": "swiglu",
    "tied_head": True,
}

BENCH_SMALL = Shape(1, 4, 128, 2304, 1024, batch_size=1, lr=1e-3)
BENCH_MEDIUM = Shape(4, 4, 256, 2304, 1024, batch_size=1, lr=1e-3)
BENCH_LARGE = Shape(12, 12, 768, 2304, 32_000, batch_size=1, lr=1e-3)


def shaped(shape: Shape, style: dict[str, Any], corpus: str, **model: Any) -> RunConfig:
    """The run of a shape; `model` are its other settings."""
    n_layers, n_heads, d_model, context, vocab_size, batch_size, lr, seconds, steps = shape
    sizes = {"n_layers": n_layers, "n_heads": n_heads, "d_model": d_model}
    return RunConfig(
        model=ModelConfig(max_seq_len=context, **{**sizes, **style, **model}),
        text=TextConfig(corpus=corpus, tokenizer="bpe", vocab_size=vocab_size),
        train=TrainConfig(
            context=context,
            batch_size=batch_size,
            seconds=seconds,
            steps=steps,
            lr=lr,
            warmup_steps=100,
        ),
        eval=EvalConfig(eval_interval=250, sample_interval=250),
    )


def to_measure(shape: Shape, d_ff: int) -> RunConfig:
    """A Llama of which only the speed matters: each field of its model is said here, the
    vocabulary is that of `shape` whatever the text yields, and nothing is trained."""
    run = shaped(
        shape,
        LLAMA,
        "generated",
        n_kv_heads=shape.n_heads,
        d_head=shape.d_model // shape.n_heads,
        d_ff=d_ff,
        rope_theta=10_000.0,
        rope_dims=0,
        rope_scaling="none",
        norm_place="pre",
        norm_eps=1e-5,
        parallel=False,
        qk_norm=False,
        tied_head=False,
        bias=False,
        logit_softcap=0.0,
        dropout=0.0,
    )
    return run.with_changes(fixed_vocab=True, generated_chars=500_000, generated_seed=0)


PRESETS = {
    "quick": QUICK,
    "quick-large": QUICK_LARGE,
    "seed": SEED,
    "seed-best": SEED_BEST,
    "grokking": GROKKING,
    "gpt2-nano": shaped(NANO, GPT2, "python-docs"),
    "gpt2-micro": shaped(MICRO, GPT2, "python-docs"),
    "gpt2-mini": shaped(MINI, GPT2, "python-docs"),
    "gpt2": shaped(GPT2_SMALL, GPT2, "python-source"),
    "llama-nano": shaped(NANO, LLAMA, "python-docs"),
    "llama-micro": shaped(MICRO, LLAMA, "python-docs"),
    "llama-mini": shaped(MINI, LLAMA, "python-docs"),
    "llama-125m": shaped(LLAMA_125M, LLAMA, "python-source", d_ff=2048, tied_head=False),
    "stories260k": shaped(STORIES_260K, LLAMA, "generated", n_kv_heads=4, d_ff=172),
    "stories15m": shaped(STORIES_15M, LLAMA, "generated", d_ff=768),
    "bench-small": to_measure(BENCH_SMALL, d_ff=352),
    "bench-medium": to_measure(BENCH_MEDIUM, d_ff=704),
    "bench-large": to_measure(BENCH_LARGE, d_ff=2048),
}
ABOUT = {
    "quick": "2 layers, 128 wide, learns for 90 s or 10 passes over the text",
    "quick-large": "quick for more time: 4 layers, context 256, 6 minutes",
    "seed": "1 layer, 128 wide, 100 steps: the experiment minitf grew from",
    "seed-best": "the same model, text, steps and batch, by our best recipe",
    "grokking": "sums modulo 53: first by heart, then by the rule: a minute",
    "gpt2-nano": "GPT-2's parts, 3 layers, 48 wide: a minute on a laptop",
    "gpt2-micro": "GPT-2's parts, 4 layers, 128 wide: two minutes on a laptop",
    "gpt2-mini": "GPT-2's parts, 6 layers, 192 wide: five minutes on a laptop",
    "gpt2": "GPT-2 itself, the smallest, 12 layers, 768 wide: for a GPU",
    "llama-nano": "Llama's parts, 3 layers, 48 wide: a minute on a laptop",
    "llama-micro": "Llama's parts, 4 layers, 128 wide: two minutes on a laptop",
    "llama-mini": "Llama's parts, 6 layers, 192 wide: five minutes on a laptop",
    "llama-125m": "Llama's parts in GPT-2's shape, 12 layers, 768 wide: for a GPU",
    "stories260k": "llama2.c's smallest, 5 layers, 64 wide: two minutes on a laptop",
    "stories15m": "llama2.c's stories15M, 6 layers, 288 wide: for a GPU",
    "bench-small": "to measure decoding: 1 layer, 128 wide, untrained",
    "bench-medium": "to measure decoding: 4 layers, 256 wide, untrained",
    "bench-large": "to measure decoding: 12 layers, 768 wide, untrained",
}


def preset(name: str) -> RunConfig:
    """The config of that name.

    Raises:
        ConfigError: no preset has that name.
    """
    if name not in PRESETS:
        raise ConfigError(f"There is no preset {name!r}.", hint=did_you_mean(name, PRESETS))
    return PRESETS[name]
