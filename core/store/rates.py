"""Learning rates that were recorded, so that steps can be taken again exactly.

Under a budget in seconds the rate follows the clock, which does not repeat itself; each step's
rate stands in metrics.jsonl instead. A replay keeps those of the run it repeats in a file of
its own, with the commands that it is to obey again, until it gets a budget of its own:

    rates.json   {"format": 1, "rates": [rate of step 1, of step 2, ...],
                  "controls": [{"step": 40, "n": 1, "words": "lr 0.5"}, ...]}

Never imports torch.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from core.errors import RunError
from core.store.controls import Recorded, controls_of, from_json, to_json
from core.store.files import write_synced
from core.store.metrics import read_lines, read_metrics
from core.store.run import TEXT_NAME, Run

FORMAT = 1
FILE_NAME = "rates.json"


def rates_to_repeat(run_path: Path) -> dict[int, float]:
    """By step: every rate that was recorded and is not out of date, those of steps that were
    lost with a killed process included."""
    rates: dict[int, float] = {}
    for event in read_lines(run_path):
        if event["event"] == "StepCompleted":
            rates[event["step"]] = event["lr"]
        elif event["event"] == "Resumed":
            last = event.get("rates_to", event["step"])
            rates = {step: lr for step, lr in rates.items() if step <= last}
        elif event["event"] == "ReturnedToCheckpoint":
            rates = {step: lr for step, lr in rates.items() if step <= event["to_step"]}
    return rates


def rates_of_steps(run: Run) -> list[float]:
    """Of all steps that the run has taken, from the first.

    Raises:
        RunError: there is none, or one of them is missing.
    """
    steps = [e for e in read_metrics(run.path) if e["event"] == "StepCompleted"]
    if not steps:
        raise RunError(
            f"The run {run.name} has taken no step that could be replayed.",
            hint=f"Train it first: minitf train --resume {run.name}",
        )
    for n, event in enumerate(steps, 1):
        if event["step"] != n:
            raise RunError(
                f"The metrics of {run.name} lack step {n}, so it cannot be replayed.",
                hint="Restore its metrics.jsonl.",
            )
    return [event["lr"] for event in steps]


def keep_rates(rates: Sequence[float], folder: Path, controls: Iterable[Recorded] = ()) -> None:
    """Write rates.json into a run's folder."""
    about = {"format": FORMAT, "rates": list(rates), "controls": to_json(controls)}
    write_synced(folder / FILE_NAME, json.dumps(about).encode())


def keep_for_replay(source: Run, rates: Sequence[float], folder: Path) -> None:
    """Write what the replay of `source` cannot do without into its folder: rates and commands,
    and the text if that is in no other place than the folder of `source`."""
    keep_rates(rates, folder, controls_of(source.path))
    if source.text_path.is_file():
        shutil.copyfile(source.text_path, folder / TEXT_NAME)


def given_rates(run: Run) -> dict[int, float]:
    """By step, what a replay was given; nothing for any other run.

    Raises:
        RunError: the file is damaged.
    """
    return _given(run)[0]


def given_controls(run: Run) -> list[Recorded]:
    """The commands that a replay was given; nothing for any other run.

    Raises:
        RunError: the file is damaged.
    """
    return _given(run)[1]


def _given(run: Run) -> tuple[dict[int, float], list[Recorded]]:
    try:
        found = json.loads((run.path / FILE_NAME).read_bytes())
        if found["format"] != FORMAT:
            raise ValueError("made by another version of minitf")
        rates = {step: float(rate) for step, rate in enumerate(found["rates"], 1)}
        return rates, from_json(found.get("controls", ()))
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(
            f"The rates of the replay {run.name} cannot be read: {error}.",
            hint="Restore its rates.json, or replay again.",
        ) from error


def rates_still_given(run: Run, returns: int) -> dict[int, float]:
    """What a replay was given, as far as it has not returned to a checkpoint since.

    Args:
        returns: that the state it goes on from knows of; later ones were lost.

    Raises:
        RunError: the file is damaged.
    """
    rates = given_rates(run)
    for event in read_lines(run.path) if rates else ():
        if event["event"] == "ReturnedToCheckpoint" and event["returns"] <= returns:
            rates = {step: lr for step, lr in rates.items() if step <= event["to_step"]}
    return rates


def forget_given_rates(run: Run) -> None:
    """A new budget has a new schedule, for all steps that are still to come."""
    (run.path / FILE_NAME).unlink(missing_ok=True)
