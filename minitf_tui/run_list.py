"""The runs on disk, read again only where something changed. For a thread beside the screen."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import paths
from minitf_tui.vitals import Vitals

if TYPE_CHECKING:
    from core.events import Baseline
    from core.store.duels import KeptDuel
    from core.store.run import Run
    from core.store.summary import RunSummary
    from minitf_tui.comparison import RunCurve

Stamp = tuple[int, ...]
KEPT_DETAILS = 16
WATCHED = ("run.toml", "metrics.jsonl", "checkpoints", "duels")


@dataclass(frozen=True, slots=True, eq=False)
class RunDetails:
    """One run, as much as the screen shows of it."""

    run: Run
    checkpoints: tuple[int, ...]
    best_step: int | None
    curve: RunCurve
    sample: str
    """The last one that the run wrote; anything a model can write may be in it."""
    alerts: tuple[str, ...] = ()
    """What was said of it, in a word each."""
    baselines: tuple[Baseline, ...] = ()
    """What it was held against, where that is kept."""
    counted_tokens: int = 0
    """Of the end of its training text, for these."""
    duel: KeptDuel | None = None
    """The newest that it fought in."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at the disk has found."""

    runs: tuple[RunSummary, ...] = ()
    details: Mapping[str, RunDetails] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    """Folders that look like runs and cannot be read."""
    error: OSError | None = None
    cost_s: float = 0.0
    """Processor time of looking."""


class RunReader:
    """Summaries and details, kept until the files they are of change. One call at a time."""

    def __init__(self) -> None:
        self._summaries: dict[str, tuple[Stamp, RunSummary]] = {}
        self._details: dict[str, tuple[Stamp, float, RunDetails]] = {}
        self._unreadable: tuple[str, ...] = ()

    def look(self, names: Sequence[str], smoothing: float) -> Seen:
        """All runs, and the details of those; of the newest one, if none is named.

        Args:
            names: whose details are wanted.
            smoothing: share of the old in the averaged loss.
        """
        began = time.thread_time()
        try:
            runs = self._summaries_now()
            wanted = names or [run.name for run in runs[:1]]
            details = self._all_details(wanted, smoothing)
        except OSError as error:
            return Seen(error=error)
        return Seen(tuple(runs), details, self._unreadable, cost_s=time.thread_time() - began)

    def _summaries_now(self) -> list[RunSummary]:
        """Every run, the one that was worked on last first."""
        from core.store.run_names import NAME_PATTERN

        folder, bad = paths.runs_dir(), []
        found: dict[str, tuple[Stamp, RunSummary]] = {}
        for path in folder.iterdir() if folder.is_dir() else []:
            if not NAME_PATTERN.fullmatch(path.name):
                continue
            try:
                found[path.name] = self._summary(path)
            except FileNotFoundError:  # deleted meanwhile, or no run
                continue
            except Exception:  # whatever stands in its files: the others can be read
                bad.append(path.name)
        self._unreadable = tuple(sorted(bad))
        self._summaries = found
        newest = sorted(found, key=lambda name: (_worked_on(found[name][0]), name), reverse=True)
        return [found[name][1] for name in newest]

    def _summary(self, path: Path) -> tuple[Stamp, RunSummary]:
        from core.store.run import open_run
        from core.store.summary import summarise

        stamp, known = stamp_of(path), self._summaries.get(path.name)
        # A trainer that was killed leaves its files as they were, but not its lock.
        if known and known[0] == stamp and not known[1].is_trained:
            return known
        return stamp, summarise(open_run(path))

    def _all_details(self, names: Iterable[str], smoothing: float) -> dict[str, RunDetails]:
        """Of those runs that can be read; the rest are left out."""
        found = {}
        for name in names:
            with suppress(Exception):  # whatever stands in its files
                found[name] = self._details_of(name, smoothing)
        while len(self._details) > KEPT_DETAILS + len(found):
            self._details.pop(next(iter(self._details)))
        return found

    def _details_of(self, name: str, smoothing: float) -> RunDetails:
        from core.store.duels import last_duel
        from core.store.metrics import baselines_in, read_metrics
        from core.store.run import open_run
        from minitf_tui.comparison import curve_of

        path = paths.runs_dir() / name
        stamp, known = stamp_of(path), self._details.get(name)
        if known and known[:2] == (stamp, smoothing):
            return known[2]
        run, events = open_run(path), read_metrics(path)
        details = RunDetails(
            run=run,
            checkpoints=tuple(run.checkpoint_steps()),
            best_step=run.best_step(),
            curve=curve_of(name, events, smoothing),
            sample=_last_sample(events),
            alerts=_alerts(events),
            baselines=baselines_in(events),
            counted_tokens=_counted_tokens(events),
            duel=last_duel(run),
        )
        self._details[name] = stamp, smoothing, details
        return details


def delete(name: str) -> None:
    """Delete a run.

    Raises:
        RunError: it cannot be read, or a trainer works on it.
        OSError: the system refuses.
    """
    from core.store.run import delete_run, open_run

    delete_run(open_run(paths.runs_dir() / name))


def stamp_of(path: Path) -> Stamp:
    """Different whenever one of the files that are watched is.

    Raises:
        FileNotFoundError: it has no run.toml.
    """
    stamp = []
    for name in WATCHED:
        try:
            about = (path / name).stat()
        except FileNotFoundError:
            if name == WATCHED[0]:
                raise
            stamp += [0, 0]
        else:
            stamp += [about.st_mtime_ns, about.st_size]
    return tuple(stamp)


def _worked_on(stamp: Stamp) -> int:
    """Time of the last metric, else of creation: the order in which `last` is the first."""
    return stamp[2] or stamp[0]


def _counted_tokens(events: list[dict[str, Any]]) -> int:
    told = [e.get("counted_tokens") for e in events if e["event"] == "BaselinesCounted"]
    return told[-1] if told and isinstance(told[-1], int) else 0


def _alerts(events: list[dict[str, Any]]) -> tuple[str, ...]:
    vitals = Vitals()
    vitals.add_past(events)
    return tuple(f"{alert.kind} at {alert.step:,}" for alert in vitals.alerts)


def _last_sample(events: list[dict[str, Any]]) -> str:
    samples = [event for event in events if event["event"] == "SampleCompleted"]
    return str(samples[-1].get("prompt", "")) + str(samples[-1].get("text", "")) if samples else ""
