"""How the weights are found, and what is measured meanwhile."""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.errors import ConfigError
from core.fields import MAX_SEED, at_least, check_types, default, in_choices, setting

OPTIMIZERS = ("adamw", "muon", "sgd", "lion")
SCHEDULES = ("cosine", "linear", "wsd", "flat_linear", "constant")
ON_DIVERGENCE = ("stop", "return")
ROWS = ("random", "shuffled")
ON_SPIKE = ("warn", "return")
DEVICES = ("auto", "cpu", "cuda", "mps")
DTYPES = ("auto", "float32", "bfloat16")
COMPILE = ("auto", "on", "off")
BUDGETS = {"steps": 0, "seconds": 0.0, "epochs": 0.0, "tokens": 0}
"""The limits of a run, each off; the nearest one that is on ends it. With none on, no step is
taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How the weights are found."""

    context: int = setting(128, "tokens in a row of a batch", unit="tokens")
    batch_size: int = setting(16, "rows in a batch")
    grad_accum: int = setting(1, "batches whose gradients make one step")
    rows: str = setting(
        "random",
        "rows start anywhere, or tile the text, shuffled each pass; a task's at a random problem",
        choices=ROWS,
    )
    steps: int = setting(
        0, "budget of optimiser steps; 0 is no limit, and alone: no training", unit="steps"
    )
    seconds: float = setting(0.0, "budget of pure training time; 0 is no limit", unit="s")
    epochs: float = setting(0.0, "budget of passes over the training text; 0 is no limit")
    tokens: int = setting(0, "budget of tokens trained on; 0 is no limit", unit="tokens")
    optimizer: str = setting(
        "adamw", "rule of a step; muon is for matrices, beside AdamW", choices=OPTIMIZERS
    )
    lr: float = setting(1e-3, "highest learning rate")
    matrix_lr: float = setting(0.0, "highest learning rate of matrices in blocks; 0 is lr")
    embedding_lr: float = setting(0.0, "highest learning rate of embeddings; 0 is lr")
    head_lr: float = setting(0.0, "highest learning rate of a head of its own; 0 is lr")
    vector_lr: float = setting(0.0, "highest learning rate of norms and biases; 0 is lr")
    min_lr: float = setting(0.1, "learning rate at the end, as a share of lr")
    warmup_steps: int = setting(10, "steps over which the learning rate rises", unit="steps")
    schedule: str = setting("cosine", "course of the learning rate", choices=SCHEDULES)
    decay_share: float = setting(0.2, "share of the run in which the rate falls (wsd, flat_linear)")
    weight_decay: float = setting(0.1, "decay of all but norms and biases, times the rate")
    beta1: float = setting(0.9, "decay of the mean gradient (AdamW, Lion)")
    beta2: float = setting(0.95, "decay of the squared gradient (AdamW), of the momentum (Lion)")
    muon_rows: int = setting(
        0, "rows that muon takes as a matrix of its own, as a head's; 0 is all", unit="rows"
    )
    momentum: float = setting(0.95, "share of the momentum that a step keeps (muon, sgd)")
    answers_only: bool = setting(
        False, "learn and score the answers of a task only, not its questions"
    )
    grad_clip: float = setting(1.0, "largest gradient norm; 0 is off")
    seed: int = setting(0, "seed of weights, batches and dropout")
    checkpoint_interval: int = setting(
        250, "steps between checkpoints; 0 is ends only", unit="steps"
    )
    on_divergence: str = setting(
        "stop", "after a NaN or an infinity: end, or return to a checkpoint", choices=ON_DIVERGENCE
    )
    on_spike: str = setting(
        "warn", "when the loss spikes: say so, or return to a checkpoint", choices=ON_SPIKE
    )
    return_lr: float = setting(0.5, "factor on the learning rate after such a return")
    device: str = setting("auto", "where tensors live", choices=DEVICES)
    dtype: str = setting("auto", "number type of matrix products", choices=DTYPES)
    threads: int = setting(0, "CPU threads; 0 is one a core, at most 8", unit="threads")
    compile: str = setting(
        "auto", "compile the step; auto does where doctor --train saw it pay", choices=COMPILE
    )

    def __post_init__(self) -> None:
        check_types(self)
        in_choices(self)
        at_least(self, 1, "context", "batch_size", "grad_accum")
        at_least(self, 0, *BUDGETS, "warmup_steps", "weight_decay", "grad_clip")
        at_least(self, 0, "seed", "checkpoint_interval", "threads")
        at_least(self, 0, "muon_rows", "matrix_lr", "embedding_lr", "head_lr", "vector_lr")
        if self.seed > MAX_SEED:
            raise ConfigError(f"seed={self.seed} is above {MAX_SEED}.", hint="Try a smaller seed.")
        if self.lr <= 0:
            raise ConfigError(f"lr={self.lr:g} is not above 0.", hint="Try lr=0.001.")
        for name in ("decay_share", "return_lr"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise ConfigError(
                    f"{name}={value:g} is not in (0, 1].",
                    hint=f"The usual value is {default(self, name):g}.",
                )
        for name in ("beta1", "beta2", "momentum", "min_lr"):
            value = getattr(self, name)
            if not 0 <= value < 1 and not (name == "min_lr" and value == 1):
                raise ConfigError(
                    f"{name}={value:g} is not in [0, 1).",
                    hint=f"The usual value is {default(self, name):g}.",
                )

    @property
    def tokens_per_step(self) -> int:
        """Trained on in one optimiser step, all its batches together."""
        return self.batch_size * self.grad_accum * self.context

    @property
    def is_untrained(self) -> bool:
        """Whether no budget is given: the run ends with the weights that its seed made."""
        return not any(getattr(self, name) for name in BUDGETS)

    @property
    def planned_steps(self) -> int:
        """Steps that the budgets in steps and in tokens allow; 0 is no limit."""
        by_tokens = math.ceil(self.tokens / self.tokens_per_step)
        return min((n for n in (self.steps, by_tokens) if n), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalConfig:
    """What is measured while training."""

    eval_interval: int = setting(100, "steps between validations; 0 is at the end", unit="steps")
    sample_interval: int = setting(100, "steps between text samples; 0 is at the end", unit="steps")
    sample_tokens: int = setting(96, "length of a text sample", unit="tokens")
    sample_prompt: str = setting("", "start of a text sample; empty takes held-out text")
    stride: int = setting(0, "tokens between two windows; 0 is the context", unit="tokens")
    health_share: float = setting(
        0.01, "share of the training time in which the model's health is measured; 0 is never"
    )
    health_interval: int = setting(
        0, "steps between measurements of health; 0 is by health_share", unit="steps"
    )
    baselines: bool = setting(
        True, "count n-grams and compress the text, to hold the validation loss against"
    )

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, 0, "eval_interval", "sample_interval", "sample_tokens", "stride")
        at_least(self, 0, "health_share", "health_interval")
        if self.health_share > 1:
            raise ConfigError(
                f"health_share={self.health_share:g} is more than all of the time.",
                hint="The usual value is 0.01.",
            )
