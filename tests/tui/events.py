"""Single events of a run, as it would tell them."""

from __future__ import annotations

import math
from typing import Any

from core.events import (
    AlertRaised,
    HealthMeasured,
    RunFinished,
    RunStarted,
    SampleCompleted,
    StepCompleted,
    TrainResult,
    ValidationCompleted,
)

SAMPLE = "s are objects that\nsupport the buffer protocol. See the section on types.\n\nNew."


def step(n: int, **changes: Any) -> StepCompleted:
    values: dict[str, Any] = {
        "step": n,
        "loss": 1.2 + 5.7 * math.exp(-n / 80) + 0.15 * math.sin(n * 1.7),
        "lr": 3e-3 * min(1.0, n / 50) * (0.55 + 0.45 * math.cos(n / 300)),
        "grad_norm": 0.5 + 0.3 * math.sin(n) ** 2,
        "tokens": n * 2048,
        "tokens_per_s": 21_500.0,
        "train_s": n * 0.095,
    }
    return StepCompleted(**values | changes)


def started(**changes: Any) -> RunStarted:
    values: dict[str, Any] = {
        "run": "python-docs-1",
        "path": "/tmp/python-docs-1",
        "step": 0,
        "steps": 0,
        "seconds": 90.0,
        "n_params": 1_050_112,
        "vocab_size": 1024,
        "train_tokens": 145_000,
        "validation_tokens": 16_000,
        "bytes_per_token": 2.93,
        "context": 128,
        "device": "cpu",
        "dtype": "float32",
        "threads": 2,
    }
    return RunStarted(**values | changes)


def validation(n: int) -> ValidationCompleted:
    loss = 1.35 + 5.5 * math.exp(-n / 80)
    return ValidationCompleted(
        step=n,
        loss=loss,
        loss_ci95=(loss - 0.02, loss + 0.02),
        perplexity=math.exp(loss),
        bits_per_byte=loss / math.log(2) / 2.93,
        train_s=n * 0.095,
        eval_s=0.8,
        is_best=True,
    )


def sample(n: int, text: str = SAMPLE) -> SampleCompleted:
    return SampleCompleted(step=n, prompt="The bytes and bytearray type", text=text)


def finished(reason: str = "budget", steps: int = 940) -> RunFinished:
    return RunFinished(
        reason=reason,
        result=TrainResult(
            run="python-docs-1",
            path="/tmp/python-docs-1",
            steps=steps,
            tokens=steps * 2048,
            params=1_050_112,
            context=128,
            train_s=90.0,
            eval_s=6.0,
            sample_s=2.0,
            save_s=0.5,
            setup_s=2.5,
            wall_s=101.0,
            val_loss=1.35,
            val_perplexity=3.86,
            bits_per_byte=0.665,
        ),
    )


def health(n: int, layers: int = 3) -> HealthMeasured:
    """As a run of so many blocks would tell: updates shrink, attention sharpens."""
    names = ("embedding", *(str(i) for i in range(1, layers + 1)), "head")
    fade = math.exp(-n / 150)
    return HealthMeasured(
        step=n,
        layers=names,
        weight_norms=tuple(10.0 + 3 * i + n / 100 for i in range(len(names))),
        grad_norms=tuple(0.2 + 0.1 * math.sin(n / 20 + i) for i in range(len(names))),
        update_ratios=tuple((0.2 if i == 0 else 0.02) * fade for i in range(len(names))),
        dead_shares=tuple(0.04 + 0.3 * i for i in range(layers)),
        attention_entropies=tuple(0.3 + 0.6 * fade - 0.05 * i for i in range(layers)),
        logit_low=-5.0 - n / 50,
        logit_high=4.0 + n / 60,
        clip_rate=0.125,
        probed_tokens=256,
        cost_s=0.009,
    )


def alert(n: int, kind: str = "spike") -> AlertRaised:
    return AlertRaised(
        step=n,
        kind=kind,
        sentence=f"The loss rose to 4.12 by step {n}, from a median of 2.01 before.",
        hint="Try a lower lr than 0.003 (it was 0.0029 here), a longer warm-up than 50 steps.",
    )
