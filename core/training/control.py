"""Obeys commands between two steps: those that come, and recorded ones, which are repeated.

Invariant: what a lasting command does to the run depends on the step after which it is obeyed
alone, not on whether that was before or after what is due there. So a command that was recorded
with its step has the same effect when it is repeated, after a kill or in a replay.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable
from typing import Protocol

from core.config import LASTING, Command, TrainConfig
from core.events import Controlled, Paused, TrainEvent
from core.store.controls import Recorded
from core.training.budget import Budget
from core.training.clock import Clock
from core.training.progress import Progress
from core.training.wishes import Wishes


class Controllable(Protocol):
    """What is controlled: a trainer."""

    progress: Progress
    clock: Clock
    budget: Budget
    has_diverged: bool
    is_finished: bool

    def save_now(self) -> Generator[TrainEvent, None, None]:
        """Offer a checkpoint."""

    def sample_now(self) -> Generator[TrainEvent, None, None]:
        """Tell a sample."""

    def move_budget(self, budget: Budget) -> None:
        """Go by other limits from here."""


class Control:
    """Commands of one run, on their way from whoever asks to whoever trains."""

    def __init__(
        self,
        wishes: Wishes,
        config: TrainConfig,
        recorded: Iterable[Recorded] = (),
        *,
        told_only: Collection[int] = (),
    ) -> None:
        """`recorded` are to be obeyed again, after the same steps. `told_only` are numbers of
        changes of the budget that are told, and nothing else: where recorded rates say how many
        steps there are."""
        self._wishes, self._config = wishes, config
        self._recorded = sorted(recorded, key=lambda control: (control.step, control.n))
        self._told_only = told_only
        self._is_paused = False
        self._free_to = 0
        """The step up to which a paused run may go."""

    @property
    def repeats(self) -> list[int]:
        """Numbers of the commands that are still to be repeated."""
        return [control.n for control in self._recorded]

    def is_stopping(self) -> bool:
        """Whether somebody wants the run to end."""
        return self._wishes.is_stopping()

    def obey(self, run: Controllable) -> Generator[TrainEvent, None, None]:
        """Do what is to be done now; while the run is paused, wait for more."""
        if run.has_diverged:
            return
        while self._recorded and self._recorded[0].step <= run.progress.step:
            again = self._recorded.pop(0)
            yield from self._do(run, again.command, again.n)
        while True:
            while not run.has_diverged and (command := self._wishes.take()) is not None:
                yield from self._do(run, command, self._next_number(run, command))
            is_held = self._is_paused and run.progress.step >= self._free_to
            if not is_held or run.is_finished or run.has_diverged or self.is_stopping():
                return
            yield Paused(step=run.progress.step)
            with run.clock.during("idle"):
                self._wishes.wait()

    def _do(self, run: Controllable, command: Command, n: int) -> Generator[TrainEvent, None, None]:
        progress, action = run.progress, command.action
        if action == "budget":
            command = run.budget.named(command)
        if n:
            progress.controls = (*progress.controls, n)
        if action == "lr":
            progress.lr_factor *= command.value
        elif action == "budget" and n not in self._told_only:
            train_s, tokens = run.clock.seconds("train"), self._config.tokens_per_step
            run.move_budget(run.budget.changed(command, progress.step, train_s, tokens))
        elif action == "step":
            self._is_paused, self._free_to = True, max(self._free_to, progress.step) + 1
        elif action in ("pause", "resume"):
            self._is_paused, self._free_to = action == "pause", progress.step
        yield Controlled(
            step=progress.step,
            action=action,
            value=command.value if action in ("lr", "budget") else None,
            words=" ".join(command.words),
            n=n,
            lr_factor=progress.lr_factor,
            steps=run.budget.steps,
            seconds=run.budget.seconds,
            asked=command.id,
        )
        if action == "save":
            yield from run.save_now()
        elif action == "sample":
            yield from run.sample_now()

    def _next_number(self, run: Controllable, command: Command) -> int:
        """Of a command that comes now: no other has it, neither one that is still to be
        repeated."""
        if command.action not in LASTING:
            return 0
        return 1 + max([0, *run.progress.controls, *self.repeats])
