"""What watching costs: the same run headless and in the app, in turn; keys timed meanwhile.

    python tests/benchmarks/app_cost.py [--rounds 5] [--steps 300] [--keys 200] [--hours 1]

Three figures, each from processes of their own, on a machine that does nothing else:

* speed: steps per second in the app at 120x36, in a real pseudo-terminal, as a share of the
  same run headless; the two take turns, the order alternates, the median pair counts;
* keys: from writing a key into the terminal until its answer comes out of it, while training;
* memory: resident bytes of the app while it is told an hour of events, a quarter at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COLUMNS, ROWS = 120, 36
STEPS_PER_S = 30
ANSWERS = {b"?": b"closes", b"2": b"How well does a run predict"}
"""Keys, and what must appear when they are answered."""
WAYS_BACK = {b"?": b"?", b"2": b"1"}


def main() -> None:
    """Measure all three and print them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--keys", type=int, default=200)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--child", choices=("headless", "app", "memory"))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.child:
        CHILDREN[given.child](given)
        return
    if given.rounds:
        report_speed(given)
    if given.keys:
        report_keys(given)
    if given.hours:
        report_memory(given)


# What is timed, in a process of its own.


def session(steps: int) -> Any:
    """The preset quick with a budget in steps; what it saves goes to a folder of its own."""
    from core import recipes
    from core.presets import preset

    return recipes.training(preset("quick").with_changes(steps=steps))


class Stopwatch:
    """Seconds from the first step to the last, waiting for validations left out."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.others = 0.0

    def __call__(self, event: Any) -> None:
        """Take note of the time of an event."""
        kind = type(event).__name__
        if kind == "StepCompleted":
            self.times.append(time.perf_counter())
        elif kind == "RunFinished":
            self.others = event.result.eval_s + event.result.sample_s + event.result.save_s

    def steps_per_s(self) -> float:
        """Over the whole run."""
        return (len(self.times) - 1) / (self.times[-1] - self.times[0] - self.others)


def headless(given: argparse.Namespace) -> None:
    """Pull the session in a plain loop."""
    watch = Stopwatch()
    for event in session(given.steps).run():
        watch(event)
    given.out.write_text(json.dumps(watch.steps_per_s()), encoding="utf-8")


def in_app(given: argparse.Namespace) -> None:
    """The same session, started by the app as a key would."""
    from core import recipes
    from minitf_tui.app import MinitfApp
    from minitf_tui.terminal import private_terminal

    watch = Stopwatch()
    app: MinitfApp

    class Watched:
        def __init__(self) -> None:
            self._session = session(given.steps)
            self.stop = self._session.stop

        def run(self) -> Iterator[Any]:
            for event in self._session.run():
                watch(event)
                yield event
            app.call_from_thread(app.exit, 0)

    class Recipes:
        def training(self, config: Any, **_: Any) -> Watched:
            return Watched()

        def __getattr__(self, name: str) -> Any:
            return getattr(recipes, name)

    app = MinitfApp(Recipes, autostart=True)
    with private_terminal():
        app.run()
    if len(watch.times) > 1:
        given.out.write_text(json.dumps(watch.steps_per_s()), encoding="utf-8")


def memory(given: argparse.Namespace) -> None:
    """An hour of scripted events through the whole app, without its waiting."""
    sys.path.insert(0, str(ROOT))
    from tests.tui.scripted import Script, app_with
    from tests.tui.stories import training_story

    n_steps = round(given.hours * 3600 * STEPS_PER_S)
    resident: list[int] = []

    async def watch() -> None:
        story = training_story(n_steps)
        quarter = len(story) // 4
        script = Script([])
        app = app_with(training=script)

        def tell() -> Iterator[Any]:
            for index, event in enumerate(story, 1):
                yield event
                if index % 200 == 0:  # the screen keeps up, as it would in real time
                    asyncio.run_coroutine_threadsafe(drawn(app), loop).result()
                if index % quarter == 0:
                    resident.append(resident_bytes())

        script.run = tell  # type: ignore[method-assign, assignment]
        loop = asyncio.get_running_loop()
        async with app.run_test(size=(COLUMNS, ROWS)) as pilot:
            await pilot.press("r")
            await asyncio.to_thread(app.device.wait, 3600)

    async def drawn(app: Any) -> None:
        app.pane.look_again()
        await asyncio.sleep(0)

    asyncio.run(watch())
    given.out.write_text(json.dumps(resident), encoding="utf-8")


CHILDREN: dict[str, Callable[[argparse.Namespace], None]] = {
    "headless": headless,
    "app": in_app,
    "memory": memory,
}


# The terminal around it.


def child_command(kind: str, out: Path, given: argparse.Namespace, **changes: Any) -> list[str]:
    """This script again, as the process that is measured."""
    values = {"steps": given.steps, "hours": given.hours} | changes
    flags = [f"--{name}={value}" for name, value in values.items()]
    return [sys.executable, __file__, "--child", kind, "--out", str(out), *flags]


@contextmanager
def scratch() -> Iterator[tuple[Path, dict[str, str]]]:
    """A file for the result and an environment with a data folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        terminal = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        yield (
            Path(folder) / "out.json",
            {**os.environ, **terminal, "MINITF_HOME": folder, "PYTHONPATH": path},
        )


class Terminal:
    """A pseudo-terminal of 120x36 with a process in it."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self._fd, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            command, stdin=inner, stdout=inner, stderr=inner, env=env, start_new_session=True
        )
        os.close(inner)
        self.seen = b""

    def write(self, keys: bytes) -> None:
        """Type."""
        os.write(self._fd, keys)

    def read(self, seconds: float) -> bytes:
        """What comes out within that time, at most one portion; empty when nothing did."""
        ready, _, _ = select.select([self._fd], [], [], seconds)
        if not ready:
            return b""
        with suppress(OSError):
            return os.read(self._fd, 1 << 16)
        return b""

    def wait_for(self, words: bytes, seconds: float) -> float:
        """Seconds until `words` have come out; infinite if they do not."""
        began, seen = time.perf_counter(), b""
        while (left := seconds - (time.perf_counter() - began)) > 0:
            seen += self.read(left)
            if words in seen:
                return time.perf_counter() - began
        return float("inf")

    def drain(self, seconds: float) -> None:
        """Let it draw for a while."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0 and self.process.poll() is None:
            self.read(left)

    def close(self) -> None:
        """End the process if it still runs."""
        if self.process.poll() is None:
            self.process.terminate()
            self.drain(10.0)
        self.process.wait(30)
        os.close(self._fd)


def measured_headless(given: argparse.Namespace) -> float:
    """Steps per second."""
    with scratch() as (out, env):
        subprocess.run(child_command("headless", out, given), env=env, check=True)
        return float(json.loads(out.read_text(encoding="utf-8")))


def measured_in_app(given: argparse.Namespace) -> float:
    """Steps per second."""
    with scratch() as (out, env):
        terminal = Terminal(child_command("app", out, given), env)
        while terminal.process.poll() is None:
            terminal.drain(1.0)
        terminal.close()
        return float(json.loads(out.read_text(encoding="utf-8")))


def report_speed(given: argparse.Namespace) -> None:
    """Pairs in alternating order."""
    pairs = []
    for index in range(given.rounds):
        order = (measured_headless, measured_in_app)
        found = {way: way(given) for way in (order if index % 2 == 0 else reversed(order))}
        alone, watched = found[measured_headless], found[measured_in_app]
        pairs.append(watched / alone)
        print(f"pair {index + 1}: headless {alone:.2f} steps/s, app {watched:.2f}, "
              f"ratio {pairs[-1]:.3f}", flush=True)  # fmt: skip
    print(f"speed: median ratio {statistics.median(pairs):.3f} "
          f"({min(pairs):.3f} to {max(pairs):.3f}, {len(pairs)} pairs)")  # fmt: skip


def report_keys(given: argparse.Namespace) -> None:
    """Keys at random moments of a run that does not end."""
    dice = random.Random(0)
    waits: list[float] = []
    with scratch() as (out, env):
        terminal = Terminal(child_command("app", out, given, steps=10_000_000), env)
        try:
            assert terminal.wait_for(b"held out", 120) < 120, "no step within two minutes"
            terminal.drain(5.0)
            for index in range(given.keys):
                key = list(ANSWERS)[index % len(ANSWERS)]
                terminal.drain(dice.uniform(0.1, 0.6))
                terminal.write(key)
                waits.append(1000 * terminal.wait_for(ANSWERS[key], 5.0))
                terminal.drain(0.1)
                terminal.write(WAYS_BACK[key])
        finally:
            terminal.close()
    waits.sort()
    p99 = waits[min(len(waits) - 1, round(0.99 * len(waits)))]
    print(f"keys: median {statistics.median(waits):.1f} ms, p99 {p99:.1f} ms, "
          f"largest {waits[-1]:.1f} ms, {len(waits)} keys")  # fmt: skip


def report_memory(given: argparse.Namespace) -> None:
    """Resident memory after each quarter."""
    with scratch() as (out, env):
        subprocess.run(child_command("memory", out, given), env=env, check=True)
        quarters = json.loads(out.read_text(encoding="utf-8"))
    shown = ", ".join(f"{bytes_ / 2**20:.0f}" for bytes_ in quarters)
    print(f"memory: {shown} MiB after each quarter of {given.hours:g} h of events")


def resident_bytes() -> int:
    """Of this process, now."""
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
