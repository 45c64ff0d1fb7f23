"""A sweep: the runs of a grid, or of random draws, trained one after another.

Invariant: how far it is stands in its runs. So it can be killed at any moment, and the same file
goes on where it was; a run that is finished or has diverged is not trained again. Importing this
module imports neither torch nor numpy.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core import paths
from core.config import Command, RunConfig
from core.config.sweep import SweepConfig, read_sweep
from core.config.toml_text import read_file
from core.errors import ConfigError, MinitfError
from core.events import (
    Sweep,
    SweepCompleted,
    SweepEvent,
    SweepPlanned,
    SweepRow,
    SweepRunBegun,
    SweepRunEnded,
    SweepSetting,
)
from core.jobs import Job, TrainingJob
from core.store.named import config_named
from core.store.run_names import NAME_PATTERN
from core.store.summary import TRAINED
from core.store.sweeps import SweepRecord
from core.training_sessions import resuming, training

DONE = ("finished", "diverged")
LONGEST_NAME = 58


class SweepJob(Job[SweepEvent]):
    """A session whose commands go to the run that is being trained."""

    def __init__(self, work: Callable[[SweepJob], Generator[SweepEvent, None, None]]) -> None:
        super().__init__(lambda _: work(self))
        self.current: TrainingJob | None = None

    @property
    def is_stopping(self) -> bool:
        """Whether somebody wants it to end."""
        return self._is_stopping

    def stop(self) -> None:
        """See `Session.stop`."""
        super().stop()
        if self.current is not None:
            self.current.stop()

    def save(self) -> bool:
        """See `Session.save`."""
        return self.current is not None and self.current.save()

    def control(self, command: Command) -> bool:
        """See `Session.control`."""
        if command.action == "stop":
            self.stop()
            return True
        return self.current is not None and self.current.control(command)

    def has_news(self) -> bool:
        """See `Session.has_news`."""
        return self.current is not None and self.current.has_news()


@dataclass(frozen=True, slots=True)
class _Planned:
    """A run to be, and its config; None if there can be none, for which the row says why."""

    row: SweepRow
    config: RunConfig | None


def sweeping(
    file: str | Path, *, name: str | None = None, trains: bool = True, fits: bool = False
) -> SweepJob:
    """Train what the file asks, see `core.config.sweep`, and tell how the settings rank.

    Args:
        name: of the sweep, by default that of the file; its runs are NAME-001, NAME-002, …
        trains: whether runs are trained; else it is told how they stand.
        fits: whether a scaling law is fitted to the finished ones.
    """

    def work(job: SweepJob) -> Generator[SweepEvent, None, None]:
        sweep = _read(Path(file))
        called = _checked_name(name or Path(file).stem.lower())
        plan, record = _plan(called, sweep), SweepRecord(called)
        with record.hold():
            record.begin([_asked(planned, sweep) for planned in plan])
            yield SweepPlanned(name=called, rows=_rows(plan, record))
            if trains:
                yield from _train(job, plan, record)
            result = _judged(record, _rows(plan, record))
            if fits:
                from core.measure.scaling import fit_rows

                result = replace(result, fit=fit_rows(result.rows))
            yield SweepCompleted(result=result)

    return SweepJob(work)


def settings_of(rows: Sequence[SweepRow]) -> tuple[SweepSetting, ...]:
    """Rows that differ in their seed alone, together; the lowest loss first."""
    groups: dict[tuple[tuple[str, object], ...], list[SweepRow]] = {}
    for row in rows:
        groups.setdefault(row.changes, []).append(row)
    found = [_setting(group) for group in groups.values()]
    ranked = [s for s in found if s.val_loss is not None]
    return (
        *sorted(ranked, key=lambda s: s.val_loss or 0.0),
        *(s for s in found if s.val_loss is None),
    )


def _setting(rows: Sequence[SweepRow]) -> SweepSetting:
    done = [row for row in rows if row.state == "finished"]
    losses = [row.val_loss for row in done if row.val_loss is not None]
    bits = [row.bits_per_byte for row in done if row.bits_per_byte is not None]
    others = Counter(row.state for row in rows if row.state != "finished")
    state = ", ".join(f"{n} {state}" for state, n in others.items())
    if len(rows) == 1 and others:
        state = rows[0].state
    return SweepSetting(
        changes=rows[0].changes,
        runs=tuple(row.run for row in rows),
        finished=len(done),
        val_loss=statistics.fmean(losses) if losses else None,
        val_loss_sd=statistics.stdev(losses) if len(losses) > 1 else None,
        bits_per_byte=statistics.fmean(bits) if bits else None,
        train_s=statistics.fmean(row.train_s for row in done) if done else None,
        params=max(row.params for row in rows),
        state=state or "finished",
    )


def _train(
    job: SweepJob, plan: Sequence[_Planned], record: SweepRecord
) -> Generator[SweepEvent, None, None]:
    for index, planned in enumerate(plan, 1):
        row = record.row(planned.row)
        if planned.config is None or row.state in DONE or row.state in TRAINED:
            continue
        if job.is_stopping:
            return
        yield SweepRunBegun(index=index, of=len(plan), row=row)
        is_new = row.state in ("planned", "failed")
        job.current = training(planned.config, name=row.run) if is_new else resuming(row.run)
        try:
            yield from job.current.run()
        except MinitfError as error:  # one that cannot be trained does not end the others
            record.fail(row.run, " ".join(filter(None, (str(error), error.hint))))
        finally:
            job.current = None
        yield SweepRunEnded(index=index, of=len(plan), row=record.row(planned.row))


def _judged(record: SweepRecord, rows: tuple[SweepRow, ...]) -> Sweep:
    return Sweep(name=record.name, path=str(record.path), settings=settings_of(rows), rows=rows)


def _rows(plan: Sequence[_Planned], record: SweepRecord) -> tuple[SweepRow, ...]:
    return tuple(p.row if p.config is None else record.row(p.row) for p in plan)


def _plan(name: str, sweep: SweepConfig) -> list[_Planned]:
    base = config_named(sweep.base)
    found: list[_Planned] = []
    for changes in sweep.settings:
        for k in range(sweep.seeds):
            seed = base.train.seed + k
            run = f"{name}-{len(found) + 1:03d}"
            row = SweepRow(run=run, changes=changes, seed=seed, state="planned")
            try:
                config = base.with_changes(**{**sweep.fixed, **dict(changes), "seed": seed})
            except ConfigError as error:
                row = replace(row, state="failed", remark=f"{error} {error.hint}".strip())
                found.append(_Planned(row, None))
            else:
                found.append(_Planned(row, config))
    return found


def _asked(planned: _Planned, sweep: SweepConfig) -> dict[str, object]:
    """What of a run must be the same when the sweep goes on: all of its settings."""
    config = None if planned.config is None else planned.config.to_dict()
    row = planned.row
    return {"run": row.run, "changes": dict(row.changes), "seed": row.seed, "config": config}


def _read(file: Path) -> SweepConfig:
    try:
        text = read_file(paths.absolute(str(file)))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(
            f"The sweep file {file} cannot be read: {reason}.",
            hint="Name a TOML file with [grid] or [random].",
        ) from error
    return read_sweep(text, source=str(file))


def _checked_name(name: str) -> str:
    if not NAME_PATTERN.fullmatch(name) or len(name) > LONGEST_NAME:
        raise ConfigError(
            f"{name!r} cannot name a sweep.",
            hint=f"Use a-z, 0-9, '.', '_' and '-', at most {LONGEST_NAME}; --name gives another.",
        )
    return name
