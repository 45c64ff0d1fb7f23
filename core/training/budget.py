"""When a run is over: by steps, by training time, whichever is nearer.

Epochs and tokens are counted in steps once the text is known (`core/measure/ground.py`). A run
without any limit is one that nobody wants to train: it is over before its first step. A limit can
be moved while the run is under way; run.toml keeps what was asked for in the beginning.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from core.config import Command, TrainConfig

LEAST_S = 1e-9
"""Of a limit that ends a run at once: 0 would be none."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of a run; 0 is no limit."""

    steps: int
    seconds: float

    @classmethod
    def of(cls, config: TrainConfig, moved: Mapping[str, Any] | None = None) -> Budget:
        """Those of the config, or what commands have made of them: `asdict` of a budget."""
        return cls(config.steps, config.seconds) if moved is None else cls(**moved)

    def share(self, step: int, train_s: float) -> float:
        """Spent after `step` steps and `train_s` seconds of training, in [0, 1]."""
        by_steps = step / self.steps if self.steps else 0.0
        by_time = train_s / self.seconds if self.seconds else 0.0
        has_end = bool(self.steps or self.seconds)
        return min(1.0, max(by_steps, by_time)) if has_end else 1.0

    def named(self, command: Command) -> Command:
        """A command "budget" with the unit that it means: where it has none, that of the only
        limit, and else steps."""
        own = "seconds" if self.seconds and not self.steps else "steps"
        return replace(command, unit=command.unit or own)

    def changed(self, command: Command, step: int, train_s: float, step_tokens: int) -> Budget:
        """After a command "budget", given after `step` steps and `train_s` seconds.

        What is set with `=` takes the place of all limits. So does what is added where there
        is no limit of that kind: then it counts from here. Nothing ends before here.

        Args:
            command: `named`.
            step_tokens: trained on in one step.
        """
        value, is_time = command.value, command.unit == "seconds"
        if command.unit == "tokens":
            value /= step_tokens
        limit, here = (self.seconds, train_s) if is_time else (self.steps, step)
        is_whole = command.sign == "=" or not limit
        if command.sign == "-" and not limit:
            return self
        if command.sign == "+":
            value += limit or here
        elif command.sign == "-":
            value = limit - value
        value = max(value, here)
        if is_time:
            return Budget(0 if is_whole else self.steps, max(value, LEAST_S))
        return Budget(max(1, math.ceil(value)), 0.0 if is_whole else self.seconds)
