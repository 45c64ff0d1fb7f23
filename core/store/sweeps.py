"""What a sweep keeps beside its runs, and how those stand. Never imports torch.

    <data dir>/sweeps/<name>.json   {"format": 1, "plan": [{"run": ..., "changes": {...}, ...}],
                                     "failed": {"<run>": "why it could not be trained"}}

How far a run is stands in the run alone, so a sweep can be killed at any moment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core import paths
from core.errors import ConfigError, RunError, StoreError
from core.events import SweepRow
from core.store.files import locked, make_folder, write_atomically
from core.store.metrics import read_last_metrics
from core.store.run import Run, open_run
from core.store.run_names import check_new_name
from core.store.summary import summarise

FORMAT = 1


class SweepRecord:
    """The file of one sweep."""

    def __init__(self, name: str) -> None:
        self.path: Path = paths.data_dir() / "sweeps" / f"{name}.json"
        self.name = name
        self.failed: dict[str, str] = {}
        """Runs that could not be trained, and why."""

    def begin(self, plan: Sequence[Mapping[str, Any]]) -> None:
        """Keep the plan, or find that it is the one that was kept.

        Raises:
            ConfigError: the sweep of that name had another plan.
            RunError: one of its runs is there already, and is not of this sweep.
            StoreError: it is damaged, or cannot be written.
        """
        wanted = json.loads(json.dumps(list(plan)))
        kept = self._read()
        if kept is None:
            for run in wanted:
                check_new_name(run["run"])
            self._plan = wanted
            self._write()
        elif kept["plan"] != wanted:
            raise ConfigError(
                f"The file of the sweep {self.name} has changed since its first run.",
                hint="Restore it, or give another --name: that is another sweep.",
            )
        else:
            self._plan, self.failed = wanted, dict(kept["failed"])

    def fail(self, run: str, why: str) -> None:
        """Note that a run could not be trained."""
        self.failed[run] = why
        self._write()

    def hold(self) -> Any:
        """A context in which nobody else works on the sweep.

        Raises:
            RunError: somebody does.
        """
        make_folder(self.path.parent)
        return locked(self.path.with_suffix(".lock"), f"The sweep {self.name}")

    def row(self, planned: SweepRow) -> SweepRow:
        """The row as its run stands now."""
        try:
            run = open_run(paths.runs_dir() / planned.run)
        except RunError:
            why = self.failed.get(planned.run, "")
            return replace(planned, state="failed" if why else "planned", remark=why)
        return _row(planned, run)

    def _read(self) -> dict[str, Any] | None:
        try:
            kept: dict[str, Any] = json.loads(self.path.read_bytes())
            if kept["format"] != FORMAT or not isinstance(kept["plan"], list):
                raise ValueError
            if not all(isinstance(why, str) for why in dict(kept["failed"]).values()):
                raise ValueError
        except FileNotFoundError:
            return None
        except OSError as error:
            why = error.strerror or "it cannot be read"
            raise self._damaged(why) from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._damaged("it is not what minitf wrote") from error
        return kept

    def _damaged(self, why: str) -> StoreError:
        return StoreError(
            f"The record of the sweep {self.name} is damaged: {why}.",
            hint=f"Delete {self.path}, and give the file another name: the old runs stay.",
        )

    def _write(self) -> None:
        about = {"format": FORMAT, "plan": self._plan, "failed": self.failed}
        write_atomically(self.path, json.dumps(about, indent=1).encode())


def _row(planned: SweepRow, run: Run) -> SweepRow:
    """A run that was stopped between its last step and the validation of it is not finished."""
    summary, events = summarise(run), read_last_metrics(run.path)
    ends = [e for e in events if e["event"] == "RunFinished"]
    result = ends[-1].get("result") or {} if ends else {}
    diverged = [e for e in events if e["event"] == "Diverged"]
    steps = [e for e in events if e["event"] == "StepCompleted"]
    newest = steps[-1] if steps else {}
    judged = {e["step"] for e in events if e["event"] == "ValidationCompleted"}
    is_open = summary.state == "finished" and newest.get("step") not in judged
    state = "stopped" if is_open or summary.state == "new" else summary.state
    return replace(
        planned,
        state=state,
        val_loss=result.get("val_loss") if state == "finished" else None,
        bits_per_byte=result.get("bits_per_byte") if state == "finished" else None,
        steps=int(newest.get("step", 0)),
        tokens=int(newest.get("tokens", 0)),
        params=summary.n_params,
        train_s=float(result.get("train_s") or newest.get("train_s") or 0.0),
        remark=str(diverged[-1].get("what", "")) if state == "diverged" and diverged else "",
    )
