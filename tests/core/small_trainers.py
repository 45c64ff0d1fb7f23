"""Trainers of a tiny model for tests, with probes whose losses are given."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from core.config import EvalConfig, TrainConfig
from core.events import Evaluation, StepCompleted
from core.testing import CPU, tiny_model
from core.text.batches import RandomBatches
from core.training.control import Control
from core.training.optimizer import make_optimizer
from core.training.trainer import Probes, Trainer, Written
from core.training.wishes import Wishes

IDS = np.random.default_rng(0).integers(0, 31, 500)
EVALUATION = Evaluation(
    loss=2.0,
    loss_ci95=(1.9, 2.1),
    perplexity=math.exp(2),
    bits_per_byte=3.0,
    top1=0.1,
    top5=0.2,
    tokens=10,
    bytes=10,
    stride=8,
    context=8,
)


def probes(losses: Iterator[float] | None = None) -> Probes:
    losses = losses or itertools.count(5.0, -0.1)
    return Probes(
        evaluate=lambda _: replace(EVALUATION, loss=next(losses)),
        sample=lambda _: Written("p", "t"),
    )


EXTRAS = ("clock", "control", "probes", "rates", "progress")


def make_trainer(model: nn.Module | None = None, **changes: Any) -> Trainer:
    every = {"eval_interval": 3, "sample_interval": 4}
    every |= {k: changes.pop(k) for k in list(changes) if k in every}
    extras = {k: changes.pop(k) for k in list(changes) if k in EXTRAS}
    wishes, recorded = changes.pop("wishes", None), changes.pop("recorded", ())
    fields = {"context": 8, "batch_size": 4, "steps": 8, "checkpoint_interval": 5, "lr": 1e-2}
    config = TrainConfig(**(fields | changes))
    model = model or tiny_model()
    if wishes or recorded:
        extras["control"] = Control(wishes or Wishes(), config, recorded)
    return Trainer(
        model,
        make_optimizer(model, config),
        RandomBatches(IDS, batch_size=4, context=8, seed=config.seed),
        extras.pop("probes", None) or probes(),
        config,
        EvalConfig(**every),
        device=CPU,
        **extras,
    )


def steps(events: list[Any]) -> list[StepCompleted]:
    return [e for e in events if isinstance(e, StepCompleted)]
