"""Two configs in lockstep on the same batches: each a run of its own on disk, and the differences
of their losses.

Invariant: a step of one is followed by the same step of the other, and who goes first alternates,
so whatever befalls the machine befalls both. The clock of a run stands while the other works.
Equal configs differ by exactly 0 in every figure; to change places changes the signs.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.config import RunConfig
from core.device import Device
from core.duel_rules import better, sentence
from core.errors import StoreError
from core.events import (
    Diverged,
    Duel,
    DuelCompleted,
    DuelEvent,
    DuelRound,
    DuelRoundCompleted,
    DuelStarted,
    EqualTime,
    ReportFailed,
    RunFinished,
    RunStarted,
    SetupProgressed,
    SideTold,
    StepCompleted,
    StepDiffered,
    ValidationCompleted,
    ValidationDiffered,
)
from core.launch import session_of
from core.measure.differences import Differences
from core.measure.evaluate import interval_of_blocks
from core.measure.statistics import interval
from core.parts import build, provenance_of, settled, wanted_device
from core.probes import make_probes
from core.store.duels import DuelStory, KeptDuel, keep_duel
from core.store.run import Run, create_run
from core.store.tokens import TokenizedText, tokenize_corpus
from core.training.clock import Clock
from core.training.session import TrainingSession
from core.training.wishes import Wishes

Interval = tuple[float, float]
Pair = tuple["Side", "Side"]


@dataclass(frozen=True, slots=True)
class Contest:
    """What is to be held against what."""

    a: RunConfig
    b: RunConfig
    labels: tuple[str, str]
    names: tuple[tuple[str, str], ...]
    """Of the two runs of each round."""
    wishes: tuple[Wishes, Wishes]

    def is_stopping(self) -> bool:
        """Whether somebody wants it to end."""
        return any(wishes.is_stopping() for wishes in self.wishes)


class Side:
    """One of the two runs: its events, and what it was scored with."""

    def __init__(self, letter: str, config: RunConfig, wishes: Wishes) -> None:
        self.letter, self.config, self.wishes = letter, config, wishes
        self.validations: dict[int, tuple[ValidationCompleted, NDArray[np.float64]]] = {}
        self.is_over = False
        self.ended = ""
        """Why it ended before its budget."""
        self._losses: NDArray[np.float64] = np.zeros(0)

    def set_up(self, name: str, text: TokenizedText, device: Device) -> Run:
        """Make its run; nothing is trained yet."""
        clock = Clock()
        config = settled(self.config, text)
        parts = build(config, text, device, self.wishes)
        probes = make_probes(config, text, device, self.wishes.is_stopping, self._keep)
        parts = replace(parts, probes=probes)
        provenance = provenance_of(parts, config)
        self.run = run = create_run(name, config, provenance, text.tokenizer.to_json())
        self.session: TrainingSession = session_of(run, parts, clock, None, self.wishes)
        self.events = self.session.run()
        clock.switch("idle")
        return run

    def begin(self) -> Generator[SideTold, None, RunStarted]:
        """Pull until it has begun."""
        for event in self.events:
            if isinstance(event, RunStarted):
                return event
            yield SideTold(side=self.letter, event=event)
        raise AssertionError("a new run begins")

    def pull(self, step: int) -> Generator[SideTold, None, StepCompleted | None]:
        """Pull until it has taken that step; None if it ends before."""
        for event in self.events:
            if isinstance(event, StepCompleted):
                if event.step >= step:  # it may take some again, after a divergence
                    return event
                continue
            if isinstance(event, ValidationCompleted):
                self.validations[event.step] = (event, self._losses)
            elif isinstance(event, Diverged):
                self.ended = f"{self.letter.upper()} diverged at step {event.step}: {event.what}"
            elif isinstance(event, RunFinished) and event.reason == "stopped":
                self.ended = "it was stopped"
            yield SideTold(side=self.letter, event=event)
        self.is_over = True
        return None

    def _keep(self, losses: NDArray[np.float64]) -> None:
        self._losses = losses


def duel(contest: Contest) -> Generator[DuelEvent, None, None]:
    """Let them learn, once a round, each from another seed.

    Raises:
        MinitfError: a setting, the text, the device or a name cannot be used.
    """
    train = contest.a.train  # no way is measured: both train in the same one, or as they were told
    device_a, device_b = wanted_device(contest.a), wanted_device(contest.b)
    text = yield from tokenize_corpus(contest.a.text, contest.is_stopping, None)
    if text is None:
        return
    rounds: list[DuelRound] = []
    for index, names in enumerate(contest.names):
        if contest.is_stopping():
            break
        yield SetupProgressed(stage="building both models")
        seed = train.seed + index
        configs = (c.with_changes(seed=seed) for c in (contest.a, contest.b))
        made = zip("ab", configs, contest.wishes, strict=True)
        pair = Side(*next(made)), Side(*next(made))
        with ExitStack() as held:
            for side, name, device in zip(pair, names, (device_a, device_b), strict=True):
                held.enter_context(side.set_up(name, text, device).lock())
                held.enter_context(closing(side.events))
            story = DuelStory()
            found = yield from _round(pair, index + 1, len(contest.names), seed, story)
            yield from _keep(pair, _kept(contest.labels, names, found, story))
        rounds.append(found)
        yield DuelRoundCompleted(round=index + 1, of=len(contest.names), result=found)
    yield DuelCompleted(result=judged(contest.labels, rounds))


def judged(labels: tuple[str, str], rounds: list[DuelRound]) -> Duel:
    """What the rounds say together."""
    pairs = [r.validation for r in rounds if r.validation is not None]
    steps = [r.last_step for r in rounds if r.last_step is not None]
    difference, ci95 = None, None
    if rounds and len(pairs) == len(rounds):
        difference = math.fsum(p.difference for p in pairs) / len(pairs)
        ci95 = pairs[0].ci95 if len(pairs) == 1 else interval([p.difference for p in pairs])
    elif rounds and len(steps) == len(rounds):
        difference = math.fsum(s.mean for s in steps) / len(steps)
        ci95 = steps[0].ci95 if len(steps) == 1 else interval([s.mean for s in steps])
    return Duel(
        a=labels[0],
        b=labels[1],
        rounds=tuple(rounds),
        difference=difference,
        ci95=ci95,
        better=better(ci95),
        sentence=sentence(rounds, difference, ci95),
    )


def _kept(
    labels: tuple[str, str], names: tuple[str, str], found: DuelRound, story: DuelStory
) -> KeptDuel:
    told = judged(labels, [found])
    return KeptDuel(
        a=told.a,
        b=told.b,
        runs=names,
        seed=found.seed,
        better=told.better,
        sentence=told.sentence,
        steps=story.steps,
        validations=story.validations,
    )


def _keep(pair: Pair, kept: KeptDuel) -> Generator[ReportFailed, None, None]:
    """With both runs; that this cannot be is no reason not to tell what came of it."""
    for side in pair:
        try:
            keep_duel(side.run, kept)
        except (OSError, StoreError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            yield ReportFailed(what="duel", reason=reason)


def _round(
    pair: Pair, index: int, of: int, seed: int, story: DuelStory
) -> Generator[DuelEvent, None, DuelRound]:
    a, b = pair
    started_a, started_b = (yield from a.begin()), (yield from b.begin())
    yield DuelStarted(round=index, of=of, seed=seed, a=started_a, b=started_b)
    differences, last, validation = Differences(), None, None
    step = 0
    while not (a.is_over and b.is_over):
        step += 1
        took: dict[str, StepCompleted | None] = {}
        for side in (a, b) if step % 2 else (b, a):
            took[side.letter] = yield from side.pull(step)
            if side.ended:
                (b if side is a else a).wishes.stop()
        for found in _new_validations(pair, validation):
            validation = found
            story.hear(found)
            yield found
        ours, theirs = took["a"], took["b"]
        if ours is not None and theirs is not None:
            last = _differed(ours, theirs, differences)
            story.hear(last)
            yield last
    return DuelRound(
        seed=seed,
        a=a.session.result(),
        b=b.session.result(),
        steps=last.step if last else 0,
        last_step=last,
        validation=validation,
        equal_time=_at_equal_time(pair),
        ended=a.ended if "diverged" in a.ended else b.ended or a.ended,
    )


def _differed(a: StepCompleted, b: StepCompleted, differences: Differences) -> StepDiffered:
    differences.add(b.loss - a.loss)
    mean, ci95 = differences.mean()
    return StepDiffered(
        step=a.step,
        loss_a=a.loss,
        loss_b=b.loss,
        difference=b.loss - a.loss,
        mean=mean,
        ci95=ci95,
        window=differences.window,
        train_s_a=a.train_s,
        train_s_b=b.train_s,
    )


def _new_validations(pair: Pair, newest: ValidationDiffered | None) -> list[ValidationDiffered]:
    """Those that both have made since the newest one that was told."""
    a, b = pair
    found, last = [], newest.step if newest else 0
    for step in sorted(a.validations.keys() & b.validations.keys()):
        if step > last:
            (ours, before), (theirs, after) = a.validations[step], b.validations[step]
            told = ValidationDiffered(
                step=step,
                loss_a=ours.loss,
                loss_b=theirs.loss,
                difference=theirs.loss - ours.loss,
                ci95=interval_of_blocks(after - before, a.config.train.context),
                train_s_a=ours.train_s,
                train_s_b=theirs.train_s,
            )
            found.append(told)
            for side, event in ((a, ours), (b, theirs)):  # the losses have done their work
                side.validations[step] = (event, np.zeros(0))
    return found


def _at_equal_time(pair: Pair) -> EqualTime | None:
    curves = []
    for side in pair:
        events = [event for event, _ in side.validations.values()]
        curves.append(([e.train_s for e in events], [e.loss for e in events]))
    if any(len(times) < 2 for times, _ in curves):
        return None
    end = min(times[-1] for times, _ in curves)
    if any(times[0] > end for times, _ in curves):
        return None
    a, b = (float(np.interp(end, times, losses)) for times, losses in curves)
    return EqualTime(train_s=end, loss_a=a, loss_b=b, difference=b - a)
