"""A duel as it is told: B learns a little faster, or just the same."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from core.duel_rules import better, sentence
from core.events import (
    Duel,
    DuelCompleted,
    DuelRound,
    DuelRoundCompleted,
    DuelStarted,
    Event,
    RunFinished,
    SetupProgressed,
    SideTold,
    StepDiffered,
    ValidationDiffered,
)
from core.store.duels import KeptDuel
from tests.tui.events import finished, started


def differed(n: int, gap: float = 0.08) -> StepDiffered:
    loss = 1.2 + 5.7 * math.exp(-n / 80) + 0.15 * math.sin(n * 1.7)
    lead = gap * (1 - math.exp(-n / 60))
    return StepDiffered(
        step=n,
        loss_a=loss,
        loss_b=loss - lead + 0.02 * math.sin(n * 2.3),
        difference=-lead + 0.02 * math.sin(n * 2.3),
        mean=-lead,
        ci95=(-lead - 0.02, -lead + 0.02) if n >= 16 else None,
        window=min(n, 100),
        train_s_a=n * 0.1,
        train_s_b=n * 0.11,
    )


def scored(n: int, gap: float = 0.08) -> ValidationDiffered:
    return ValidationDiffered(
        step=n,
        loss_a=2.0,
        loss_b=2.0 - gap,
        difference=-gap,
        ci95=(-gap - 0.01, -gap + 0.01),
        train_s_a=n * 0.1,
        train_s_b=n * 0.11,
    )


def beginning(n: int, gap: float = 0.08) -> list[Event]:
    """Set-up and `n` of 200 steps."""
    a, b = (started(run=f"duel-1-{side}", steps=200, seconds=0.0) for side in "ab")
    told: list[Event] = [
        SetupProgressed(stage="loading PyTorch"),
        SideTold(side="a", event=SetupProgressed(stage="compiling")),
        DuelStarted(round=1, of=1, seed=0, a=a, b=b),
    ]
    for step in range(1, n + 1):
        told.append(differed(step, gap))
        if step % 50 == 0:
            told.append(scored(step, gap))
    return told


def ending(n: int, gap: float = 0.08, **changes: Any) -> list[Event]:
    """The verdict after `n` steps."""
    end = finished(steps=n)
    assert isinstance(end, RunFinished)
    found = DuelRound(
        seed=0,
        a=replace(end.result, run="duel-1-a"),
        b=replace(end.result, run="duel-1-b"),
        steps=n,
        last_step=differed(n, gap),
        validation=scored(n, gap),
        equal_time=None,
        **changes,
    )
    ci95 = (-gap - 0.01, -gap + 0.01)
    duel = Duel(
        a="config",
        b="small",
        rounds=(found,),
        difference=-gap,
        ci95=ci95,
        better=better(ci95),
        sentence=sentence([found], -gap, ci95),
    )
    return [DuelRoundCompleted(round=1, of=1, result=found), DuelCompleted(result=duel)]


def kept(n: int = 200, gap: float = 0.08) -> KeptDuel:
    (_, over) = ending(n, gap)
    assert isinstance(over, DuelCompleted)
    return KeptDuel(
        a="quick",
        b="small",
        runs=("duel-1-a", "duel-1-b"),
        seed=0,
        better=over.result.better,
        sentence=over.result.sentence,
        steps=tuple(differed(i, gap) for i in range(1, n + 1)),
        validations=tuple(scored(i, gap) for i in range(50, n + 1, 50)),
    )
