"""metrics.jsonl: one event a line, append-only, readable while it grows.

Invariant: a line is written whole, so only the last one can be torn, by a kill; it is dropped
when reading and cut off before appending. What a full disk refuses is kept in memory and
written, in its place, with the next line for which there is room. A resumed run appends a
`Resumed` line; what had been written after that step was lost with the process and is left
out. So are the steps that a `ReturnedToCheckpoint` undid. A command is true as long as a state
knows of it, by its number.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from core.events import Baseline
from core.store.whole_events import is_whole

FORMAT = 1
FILE_NAME = "metrics.jsonl"
_TAIL_BYTES = 1 << 16
_WORD = re.compile("[a-z0-9-]{1,16}")


class MetricsWriter:
    """Appends events to a run's metrics."""

    def __init__(self, run_path: Path) -> None:
        path = run_path / FILE_NAME
        self.is_new = not path.exists()
        """Whether nothing had been written before."""
        self._file = path.open("ab", buffering=0)
        self._unwritten = bytearray()
        if self.is_new:
            self._append({"format": FORMAT})
        else:
            self._file.truncate(_end_of_last_line(path))

    def write(self, event: Any) -> None:
        """Append a dataclass, under its class name."""
        self._append({"event": type(event).__name__} | asdict(event))

    def copy(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Append events that were read."""
        for event in events:
            self._append(event)

    def resumed(
        self,
        step: int,
        *,
        returns: int = 0,
        rates_to: int | None = None,
        controls: Sequence[int] = (),
        repeats: Sequence[int] = (),
    ) -> None:
        """Mark that training goes on from `step`.

        Args:
            returns: to checkpoints, that this state knows of; later ones were lost.
            rates_to: the last step that will be taken again with its recorded rate.
            controls: numbers of the commands that this state knows of.
            repeats: numbers of those that will be obeyed again.
        """
        last = step if rates_to is None else rates_to
        known = {"controls": list(controls), "repeats": list(repeats)}
        about = {"step": step, "returns": returns, "rates_to": last, **known}
        self._append({"event": "Resumed", **about})

    def _append(self, line: Mapping[str, Any]) -> None:
        text = json.dumps(finite(line), ensure_ascii=False, allow_nan=False)
        # A model may emit half a surrogate pair, which UTF-8 has no bytes for.
        self._unwritten += text.encode("utf-8", "replace") + b"\n"
        with suppress(OSError):
            self._flush()

    def _flush(self) -> None:
        while self._unwritten:
            del self._unwritten[: self._file.write(self._unwritten)]

    def __enter__(self) -> MetricsWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._flush()
        self._file.close()


def read_metrics(run_path: Path) -> list[dict[str, Any]]:
    """The run's events as they would be had it never been interrupted, oldest first."""
    return _events(_bytes(run_path))


def events_at(
    run_path: Path, step: int, *, returns: int, controls: Collection[int]
) -> list[dict[str, Any]]:
    """Those that are true of the run as it was after `step`, having returned so often and
    obeyed commands of those numbers."""
    return [e for e in read_metrics(run_path) if _outlives(e, step, returns, controls)]


def read_last_metrics(run_path: Path) -> list[dict[str, Any]]:
    """The newest events, enough to tell how a run stands; cheap for a long run."""
    return _events(_bytes(run_path, most=_TAIL_BYTES))


def read_lines(run_path: Path) -> Iterator[dict[str, Any]]:
    """All that was ever written, lost steps included, oldest first."""
    yield from _lines(_bytes(run_path))


def numbers_in(event: Mapping[str, Any], name: str) -> list[int]:
    """Those in a list of an event; none where there is no such list."""
    found = event.get(name)
    return [n for n in found if isinstance(n, int)] if isinstance(found, list) else []


def baselines_in(events: Iterable[Mapping[str, Any]]) -> tuple[Baseline, ...]:
    """Those that a run was told to be held against, nothing in older runs. What is none, in metrics
    that somebody else wrote, is left out."""
    told = [e.get("baselines") for e in events if e.get("event") == "BaselinesCounted"]
    last = told[-1] if told and isinstance(told[-1], list) else []
    return tuple(Baseline(**one) for one in last if _is_baseline(one))


def _is_baseline(found: Any) -> bool:
    if not isinstance(found, dict) or found.keys() != {"name", "loss", "kind"}:
        return False
    words = all(isinstance(found[k], str) and _WORD.fullmatch(found[k]) for k in ("name", "kind"))
    return words and isinstance(found["loss"], float) and math.isfinite(found["loss"])


def _bytes(run_path: Path, *, most: int | None = None) -> bytes:
    """The file, or its last lines of that size; nothing where there is no plain file: a folder
    cannot be read, and a pipe would not end."""
    path = run_path / FILE_NAME
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            size = file.seek(0, 2)
            start = 0 if most is None else max(0, size - most)
            file.seek(start)
            data = file.read()
    except FileNotFoundError:  # gone since
        return b""
    return data[data.find(b"\n") + 1 :] if start else data


def _events(data: bytes) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for event in _lines(data):
        if event["event"] == "Resumed":
            returns, controls = event.get("returns", 0), numbers_in(event, "controls")
            kept = [e for e in kept if _outlives(e, event["step"], returns, controls)]
        elif event["event"] == "ReturnedToCheckpoint":
            kept = [e for e in kept if _outlives(e, event["to_step"], event["returns"])]
        kept.append(event)
    return kept


def _lines(data: bytes) -> Iterator[dict[str, Any]]:
    """Whole events; a torn or foreign line is skipped."""
    for line in data.split(b"\n")[:-1]:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and is_whole(event):
            yield event


def _outlives(
    event: dict[str, Any], step: int, returns: int, controls: Collection[int] | None = None
) -> bool:
    """Whether an event is still true when a run goes on from `step` after that many returns.

    Args:
        controls: numbers of the commands that are known there; None is all of them.
    """
    if event["event"] in ("RunFinished", "Diverged"):
        return False
    if event["event"] == "Controlled" and event["n"]:
        return controls is None or event["n"] in controls
    if event["event"] == "ReturnedToCheckpoint":
        return int(event["returns"]) <= returns
    return int(event.get("step", 0)) <= step


def _end_of_last_line(path: Path) -> int:
    return path.read_bytes().rfind(b"\n") + 1


def finite(value: Any) -> Any:
    """`value` for JSON, which has no NaN and no infinity: they become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return value
