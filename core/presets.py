"""Named configs. `quick` is what a newcomer meets; `seed` is the experiment minitf grew from.

`quick` was chosen by measuring (docs/lab-notes.md). Its second limit, 10 passes over the text,
is there for short texts on fast machines: after that it would learn them by heart.
"""

from __future__ import annotations

from core.config import EvalConfig, ModelConfig, RunConfig, TextConfig, TrainConfig
from core.errors import ConfigError, did_you_mean

QUICK = RunConfig(
    model=ModelConfig(
        max_seq_len=128, d_model=128, n_layers=3, n_heads=4, qk_norm=True, activation="relu2"
    ),
    text=TextConfig(corpus="python-docs", tokenizer="bpe", vocab_size=512),
    train=TrainConfig(
        context=128,
        batch_size=8,
        seconds=90.0,
        epochs=10.0,
        lr=3e-3,
        warmup_steps=50,
        weight_decay=1.0,
    ),
    eval=EvalConfig(eval_interval=200, sample_interval=100),
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

PRESETS = {"quick": QUICK, "seed": SEED}
ABOUT = {
    "quick": "3 layers, 128 wide, learns for 90 seconds or 10 passes over the text",
    "seed": "1 layer, 128 wide, 100 steps: the experiment minitf grew from",
}


def preset(name: str) -> RunConfig:
    """The config of that name.

    Raises:
        ConfigError: no preset has that name.
    """
    if name not in PRESETS:
        raise ConfigError(f"There is no preset {name!r}.", hint=did_you_mean(name, PRESETS))
    return PRESETS[name]
