"""What `RUN` means: a name, a path, `last` or `best`, with `@STEP`. Never imports torch."""

from __future__ import annotations

import os
from dataclasses import dataclass

from core import paths
from core.errors import CheckpointError, RunError, did_you_mean
from core.store.run import Run, open_run
from core.store.run_names import NAME_PATTERN, RESERVED_NAMES


@dataclass(frozen=True, slots=True)
class RunRef:
    """A run and one of its checkpoints."""

    run: Run
    step: int


def all_runs() -> list[Run]:
    """Every readable run, the one that was worked on last first."""
    folder = paths.runs_dir()
    found = []
    for path in folder.iterdir() if folder.is_dir() else []:
        if NAME_PATTERN.fullmatch(path.name):
            try:
                found.append(open_run(path))
            except RunError:
                continue
    return sorted(found, key=_worked_on, reverse=True)


def run_names() -> list[str]:
    """Names of the runs, ascending; a look at the folders alone, cheap for hundreds."""
    try:
        found = [path.name for path in paths.runs_dir().iterdir() if (path / "run.toml").is_file()]
    except OSError:
        return []
    return sorted(name for name in found if NAME_PATTERN.fullmatch(name))


def find_run(spec: str, *, needs_checkpoint: bool = True) -> RunRef:
    """The run and checkpoint that `NAME`, a path, `last` or `best`, with `@STEP`, means.

    Without `@STEP` it is the newest checkpoint; of `best`, and as `@best`, the one with the
    lowest validation loss. Runs are compared in bits per byte, which is the same order for
    one tokenizer and the fair one for several.

    Args:
        needs_checkpoint: whether a run that has none yet is an error; else its step is 0.

    Raises:
        RunError: there is no such run.
        CheckpointError: it has no such checkpoint.
    """
    name, step = split_spec(spec)
    run = _find_by_name(name)
    if not needs_checkpoint and not run.checkpoint_steps():
        return RunRef(run, 0)
    if not step:
        step = "best" if name == "best" else "last"
    return RunRef(run, _find_step(run, step))


def split_spec(spec: str) -> tuple[str, str]:
    """`(name, step)`; step is "" without one. A path may have an @ in its folders."""
    name, at, step = spec.rpartition("@")
    return (name, step) if at and not {"/", os.sep} & set(step) else (spec, "")


def _find_by_name(name: str) -> Run:
    if name not in RESERVED_NAMES:
        for path in (paths.runs_dir() / name, paths.absolute(name)):
            # os.path answers where Path would raise: for NUL, for a name that is too long.
            if name and os.path.isfile(path / "run.toml"):  # noqa: PTH113
                return open_run(path)
        known = [run.name for run in all_runs()]
        hint = did_you_mean(name, known) if known else "Start one with: minitf train"
        raise RunError(f"There is no run {name!r}.", hint=hint)
    runs = all_runs()
    if not runs:
        raise RunError("There is no run yet.", hint="Start one with: minitf train")
    if name == "last":
        return runs[0]
    scored = [(found[1], run) for run in runs if (found := run.best_validation())]
    if not scored:
        raise RunError("No run has been validated yet.", hint="Use last, or the run's name.")
    return min(scored, key=lambda pair: pair[0])[1]


def _find_step(run: Run, step: str) -> int:
    steps = run.checkpoint_steps()
    if not steps:
        raise CheckpointError(
            f"The run {run.name} has no checkpoint yet.", hint="Wait for it, or train it again."
        )
    if step == "last":
        return steps[-1]
    found = run.best_step() if step == "best" else _as_number(step)
    if found not in steps:
        known = ", ".join(map(str, steps))
        raise CheckpointError(
            f"The run {run.name} has no checkpoint {step!r}.", hint=f"It has: {known}."
        )
    return found


def _as_number(step: str) -> int | None:
    """Python refuses to read numbers of thousands of digits."""
    return int(step) if step.isdecimal() and len(step) < 20 else None


def _worked_on(run: Run) -> tuple[float, str]:
    """Time of the last metric, else of creation."""
    for name in ("metrics.jsonl", "run.toml"):
        try:
            return (run.path / name).stat().st_mtime, run.name
        except OSError:
            continue
    return 0.0, run.name
