"""What a config alone says of a run: its size, its cost, the course of its learning rate.

Never imports torch or numpy, so that a form can show it while its user types.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.config import RunConfig
from core.model import arithmetic
from core.training.schedule import planned_course


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a config will cost, from arithmetic alone."""

    n_params: int
    flops_per_token: int
    """Forward and backward."""
    kv_bytes_per_token: int
    training_bytes: int


def estimate(config: RunConfig) -> Estimate:
    """Figures for a form; never imports torch. The vocabulary is the requested one."""
    vocab_size = config.model.vocab_size or guessed_vocab(config)
    model = replace(config.model, vocab_size=vocab_size)
    train = config.train
    return Estimate(
        n_params=arithmetic.count_parameters(model),
        flops_per_token=arithmetic.training_flops_per_token(model, train.context),
        kv_bytes_per_token=arithmetic.kv_bytes_per_token(model),
        training_bytes=arithmetic.training_bytes(
            model, train.batch_size, train.context, train.optimizer
        ),
    )


def guessed_vocab(config: RunConfig) -> int:
    """Number of token ids before the text was read."""
    if config.text.fixed_vocab:
        return config.text.vocab_size
    return {"byte": 256, "char": 100}.get(config.text.tokenizer, config.text.vocab_size)


def planned_lr(
    config: RunConfig, points: int = 100, *, steps: int | None = None
) -> tuple[tuple[float, float], ...]:
    """The learning rate that a run will have, as (share of the budget, rate); no torch.

    Warm-up is counted in steps. A budget in seconds or epochs does not say how many there
    will be: then `steps` says it (a forecast knows), and without it 1,000 are assumed.
    """
    return planned_course(config.train, points, steps)
