"""The session of a duel: two configs held against each other.

Importing this module imports neither torch nor numpy.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Mapping
from typing import Any

from core.config import Command, RunConfig
from core.duel_rules import checked_seeds, sides
from core.events import DuelEvent, SetupProgressed
from core.jobs import Job
from core.openmp import tame_openmp
from core.store.named import config_named
from core.training.wishes import Wishes

STEM = "duel"


class DuelJob(Job[DuelEvent]):
    """A session that works on two runs at once."""

    def __init__(
        self, work: Callable[[tuple[Wishes, Wishes]], Generator[DuelEvent, None, None]]
    ) -> None:
        self._both = (Wishes(), Wishes())
        super().__init__(lambda _: work(self._both))

    def stop(self) -> None:
        """See `Session.stop`."""
        for wishes in self._both:
            wishes.stop()

    def save(self) -> bool:
        """See `Session.save`."""
        for wishes in self._both:
            wishes.save()
        return True

    def control(self, command: Command) -> bool:
        """It takes no commands but to stop and to save: what is done to one side alone would be
        no duel."""
        if command.action == "save":
            return self.save()
        return super().control(command)


def dueling(
    a: str | RunConfig,
    b: str | RunConfig | None = None,
    *,
    name: str | None = None,
    seeds: int = 1,
    changes: Mapping[str, Any] | None = None,
    changes_b: Mapping[str, Any] | None = None,
) -> DuelJob:
    """Two configs in lockstep on the same batches, each a run of its own on disk.

    Args:
        a: a config, or what has one: a preset, a TOML file, a run.
        b: by default the same as `a`, for `changes_b` to change.
        name: the runs are called NAME-a and NAME-b, and with several seeds NAME-s0-a, …
        seeds: how many rounds there are; each has the next seed.
        changes: fields to replace in both, named as on the command line.
        changes_b: fields to replace in the second alone.
    """
    labels = [spec if isinstance(spec, str) else "config" for spec in (a, a if b is None else b)]
    if changes_b:
        labels[1] += "".join(f" {name}={value}" for name, value in changes_b.items())

    def work(wishes: tuple[Wishes, Wishes]) -> Generator[DuelEvent, None, None]:
        from core.store.run_names import check_place

        ours = config_named(a) if isinstance(a, str) else a
        theirs = config_named(b) if isinstance(b, str) else b or ours
        ours, theirs = sides(ours, theirs, changes or {}, changes_b or {})
        names = round_names(name, ours.train.seed, checked_seeds(seeds))
        for taken in itertools.chain(*names):
            check_place(taken)
        yield SetupProgressed(stage="loading PyTorch")
        tame_openmp()
        from core.dueling import Contest, duel

        yield from duel(Contest(ours, theirs, (labels[0], labels[1]), names, wishes))

    return DuelJob(work)


def round_names(name: str | None, seed: int, seeds: int) -> tuple[tuple[str, str], ...]:
    """What the two runs of each round are called."""
    stem = name or _free_stem()
    parts = [stem] if seeds == 1 else [f"{stem}-s{seed + k}" for k in range(seeds)]
    return tuple((f"{part}-a", f"{part}-b") for part in parts)


def _free_stem() -> str:
    """`duel-1`, or the first number that no run has."""
    from core.store.find import run_names

    taken = run_names()
    stems = (f"{STEM}-{n}" for n in itertools.count(1))
    return next(s for s in stems if not any(t.startswith(f"{s}-") for t in taken))
