"""A run in progress: pulls the trainer, has the store keep what it says, tells it on.

This is where "whoever pulls has the store write it" happens. The library, the command line
and the app all pull the same events from here.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import replace

from core.errors import StoreError
from core.events import (
    AlertRaised,
    BaselinesCounted,
    CheckpointDue,
    CheckpointFailed,
    CheckpointSaved,
    Diverged,
    Paused,
    ReturnedToCheckpoint,
    RunFinished,
    RunStarted,
    TrainEvent,
    TrainResult,
    ValidationCompleted,
)
from core.model.transformer import Transformer
from core.store.checkpoint import (
    drop_checkpoints_after,
    load_moments,
    load_weights,
    save_checkpoint,
)
from core.store.files import sweep
from core.store.metrics import MetricsWriter, read_metrics
from core.store.run import Run
from core.training.alarm import Alarm, Trouble
from core.training.passing import Passing
from core.training.progress import progress_from, state_of
from core.training.trainer import Trainer, first_not_finite

MAX_RETURNS = 3
"""To a checkpoint in one run; then it ends."""


class TrainingSession:
    """One run on disk and the trainer that works on it."""

    def __init__(
        self,
        run: Run,
        model: Transformer,
        trainer: Trainer,
        started: RunStarted,
        baselines: BaselinesCounted | None = None,
    ) -> None:
        self._run, self._model, self._trainer = run, model, trainer
        self._started = started
        self._baselines = baselines
        self._passing = Passing(baselines, trainer.progress.best_loss)
        self._saved_step: int | None = started.step if started.step else None
        self._failed: CheckpointFailed | None = None
        self._is_going_back = False
        """Whether the newest steps are to be undone."""
        self._alarm = Alarm(run.config, self._spent, started.floor_loss)
        if started.step:
            self._alarm.load(run.checkpoint_state(started.step).get("alarm"))

    def run(self) -> Generator[TrainEvent, None, None]:
        """Train to the end, keeping metrics and checkpoints. Closing it early keeps one more.

        Whoever pulls holds the run's lock, from before its checkpoint was read.

        Raises:
            StoreError: the last checkpoint could not be written.
        """
        trainer = self._trainer
        has_begun = trainer.progress.step > 0 or bool(self._run.checkpoint_steps())
        owes = trainer.owes_validation or trainer.control.repeats
        if has_begun and trainer.is_finished and not owes:
            yield RunFinished(reason="finished already", result=self.result())
            return
        with MetricsWriter(self._run.path) as metrics:
            sweep(self._run.path / "checkpoints")
            if not metrics.is_new:
                metrics.resumed(
                    trainer.progress.step,
                    returns=trainer.progress.returns,
                    rates_to=trainer.repeats_to,
                    controls=trainer.progress.controls,
                    repeats=trainer.control.repeats,
                )
            metrics.write(self._started)
            yield from self._tell(self._started)
            yield from self._tell_baselines(metrics)
            try:
                yield from self._pull(metrics)
            except GeneratorExit:
                # Nobody listens any more; what was learned is kept all the same.
                self._save_unsaved(metrics)
                raise
            if self._failed is not None:
                raise _unsaved(self._run, self._failed)
            if not trainer.has_diverged:
                reason = "budget" if trainer.is_finished else "stopped"
                finished = RunFinished(reason=reason, result=self.result())
                metrics.write(finished)
                yield from self._tell(finished)

    def result(self) -> TrainResult:
        """The run as far as it went."""
        progress, spent = self._trainer.progress, self._trainer.clock.spent()
        validation = progress.validation or {}
        return TrainResult(
            run=self._run.name,
            path=str(self._run.path),
            steps=progress.step,
            tokens=progress.tokens,
            params=self._started.n_params,
            context=self._run.config.train.context,
            **{f"{name}_s": spent[name] for name in ("train", "eval", "sample", "save", "setup")},
            wall_s=sum(spent.values()),
            val_loss=validation.get("loss"),
            val_perplexity=validation.get("perplexity"),
            bits_per_byte=validation.get("bits_per_byte"),
            floor_loss=self._started.floor_loss,
            accuracy=validation.get("accuracy"),
            baselines=self._baselines.baselines if self._baselines else (),
            agreement=None,
        )

    def _spent(self, step: int, train_s: float) -> float:
        """Share of the budget, which commands may move."""
        return self._trainer.budget.share(step, train_s)

    def _pull(self, metrics: MetricsWriter) -> Generator[TrainEvent, None, None]:
        went_back = True
        while went_back:
            went_back = yield from self._pull_once(metrics)

    def _pull_once(self, metrics: MetricsWriter) -> Generator[TrainEvent, None, bool]:
        """Pull the trainer to its end; returns whether it is to be pulled again."""
        with closing(self._trainer.run()) as events:
            for event in events:
                alerts = self._alarm.hear(event)
                trouble = self._alarm.trouble(event, self._trainer.progress.step)
                back = None if trouble is None else self._way_back(trouble)
                self._is_going_back = back is not None
                if isinstance(event, CheckpointDue):
                    event = self._try_to_save(event.step)
                told = self._with_news(event, alerts)
                for one in told:
                    if not isinstance(one, Paused):
                        metrics.write(one)
                with self._trainer.clock.during("idle"):
                    yield from told
                if trouble is not None and back is not None:
                    for one in self._go_back(trouble, back, metrics):
                        yield from self._tell(one)
                    return True
        return False

    def _tell_baselines(self, metrics: MetricsWriter) -> Generator[TrainEvent, None, None]:
        """To whoever listens each time, to the metrics once."""
        counted = self._baselines
        if counted is None:
            return
        if not any(e["event"] == type(counted).__name__ for e in read_metrics(self._run.path)):
            metrics.write(counted)
        yield from self._tell(counted)

    def _with_news(self, event: TrainEvent, alerts: list[AlertRaised]) -> list[TrainEvent]:
        """An event, the baselines that it passed and what alarms, kept together: whoever leaves in
        between would not hear of them again. The end of a run comes last, unless it is none."""
        if not isinstance(event, Diverged):
            passed = []
            if isinstance(event, ValidationCompleted):
                passed = list(self._passing.passed_by(event))
            return [event, *passed, *alerts]
        end = replace(event, checkpoint_step=self._saved_step)
        return [*alerts] if self._is_going_back else [*alerts, end]

    def _way_back(self, trouble: Trouble) -> int | None:
        """The step to return to, if there is one and it was not done too often."""
        if self._trainer.progress.returns >= MAX_RETURNS:
            return None
        return max((s for s in self._run.checkpoint_steps() if s < trouble.before), default=None)

    def _go_back(
        self, event: Trouble, to_step: int, metrics: MetricsWriter
    ) -> list[ReturnedToCheckpoint | CheckpointFailed]:
        """Returns what is to be told. The order of writing matters: killed anywhere in
        between, the run diverges and returns once more, and the reader drops the first line."""
        trainer, run = self._trainer, self._run
        with trainer.clock.during("save"):
            state = run.checkpoint_state(to_step)
            progress = progress_from(state)
            progress.returns = trainer.progress.returns + 1
            progress.lr_factor = trainer.progress.lr_factor * run.config.train.return_lr
            progress.keep_wishes_of(trainer.progress)
            told = ReturnedToCheckpoint(
                step=event.step,
                what=event.what,
                to_step=to_step,
                lr_factor=progress.lr_factor,
                returns=progress.returns,
            )
            metrics.write(told)
            load_weights(run, to_step, self._model)
            load_moments(run, to_step, trainer.optimizer)
            trainer.go_back(progress)
        self._alarm.load(state.get("alarm"))
        self._is_going_back = False
        self._passing.best_loss = progress.best_loss
        self._saved_step = to_step  # whether or not it can be written that we returned to it
        saved = self._try_to_save(to_step)
        drop_checkpoints_after(run, to_step)
        if isinstance(saved, CheckpointSaved):
            return [told]
        metrics.write(saved)
        return [told, saved]

    def _tell(self, event: TrainEvent) -> Generator[TrainEvent, None, None]:
        """The listener's time is neither training nor saving."""
        with self._trainer.clock.during("idle"):
            yield event

    def _try_to_save(self, step: int) -> CheckpointSaved | CheckpointFailed:
        """A full disk is no reason to lose what is being learned: there may be room later.

        Raises:
            StoreError: no checkpoint is on disk to go on from.
        """
        try:
            return self._save(step)
        except (OSError, StoreError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            failed = CheckpointFailed(step=step, reason=reason, kept_step=self._saved_step)
            if self._saved_step is None:
                raise _unsaved(self._run, failed) from error
            self._failed = failed
            return failed

    def _save(self, step: int) -> CheckpointSaved:
        trainer = self._trainer
        before = trainer.clock.seconds("save")
        with trainer.clock.during("save"):
            state = state_of(trainer.progress, trainer.clock) | {"alarm": self._alarm.state()}
            path = save_checkpoint(self._run, step, self._model, trainer.optimizer, state)
        self._saved_step, self._failed = step, None
        save_s = trainer.clock.seconds("save") - before
        return CheckpointSaved(step=step, path=str(path), save_s=save_s)

    def _save_unsaved(self, metrics: MetricsWriter) -> None:
        step = self._trainer.progress.step
        is_bad = self._is_going_back or self._trainer.has_diverged
        is_sound = not is_bad and first_not_finite(self._model) is None
        if step != self._saved_step and is_sound:
            with suppress(OSError, StoreError):  # a full disk must not hide why we are leaving
                metrics.write(self._save(step))


def _unsaved(run: Run, failed: CheckpointFailed) -> StoreError:
    kept = "No step" if failed.kept_step is None else f"Step {failed.kept_step}"
    return StoreError(
        f"The run {run.name} could not be saved at step {failed.step}: {failed.reason}.",
        hint=f"{kept} is kept. Make room, then: minitf train --resume {run.name}",
    )
