"""Which baselines a run has left behind."""

from __future__ import annotations

from collections.abc import Iterator

from core.events import BaselinePassed, BaselinesCounted, ValidationCompleted


class Passing:
    """Tells each baseline once, when the best validation loss comes to be below it.

    What was passed follows from the best loss alone, so that a resumed run and one that returned
    to a checkpoint need to keep nothing else.
    """

    def __init__(self, counted: BaselinesCounted | None, best_loss: float) -> None:
        self._baselines = () if counted is None else counted.by_loss
        self.best_loss = best_loss

    def passed_by(self, event: ValidationCompleted) -> Iterator[BaselinePassed]:
        """The worst baseline first."""
        for baseline in self._baselines:
            if event.loss < baseline.loss <= self.best_loss:
                yield BaselinePassed(step=event.step, name=baseline.name, loss=baseline.loss)
        if event.loss < self.best_loss:
            self.best_loss = event.loss
