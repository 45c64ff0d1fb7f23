"""Sessions that replay a story, and the app over them: no model, no disk, no waiting."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any

from core.config import BenchConfig, Command, RunConfig, SamplingConfig
from core.events import CheckpointFailed, CheckpointSaved, Controlled, Event, Paused
from core.training.wishes import Wishes
from minitf_tui.app import MinitfApp
from tests.tui.events import finished, started, step


class Script:
    """A session that tells a story, at most as fast as it is let.

    Without a `gate` it runs straight through; with one it waits there before the rest.
    """

    def __init__(
        self,
        events: Iterable[Event],
        *,
        then: Iterable[Event] = (),
        last: Callable[[], Iterable[Event]] = tuple,
        error: BaseException | None = None,
        waits: bool = False,
    ) -> None:
        self.events, self.then, self.last = list(events), list(then), last
        self.error = error
        self.gate = threading.Event()
        self.reached_gate = threading.Event()
        self.stopped = threading.Event()
        self.closed = threading.Event()
        self.told = 0
        if not waits:
            self.gate.set()

    def run(self) -> Generator[Event, None, None]:
        try:
            for event in self.events:
                self.told += 1
                yield event
            self.reached_gate.set()
            self.gate.wait()
            if not self.stopped.is_set():
                for event in self.then:
                    self.told += 1
                    yield event
            yield from self.last()
            if self.error:
                raise self.error
        finally:
            self.closed.set()

    def stop(self) -> None:
        self.stopped.set()
        self.gate.set()

    def save(self) -> bool:
        return False

    def control(self, command: Command) -> bool:
        return False

    def has_news(self) -> bool:
        return False


class Endless(Script):
    """Steps until it is stopped, saves when asked; says so with a last checkpoint and its end."""

    def __init__(self) -> None:
        super().__init__(())
        self.step = 0
        self.wants_save = threading.Event()
        self.saving_fails = False

    def kept(self) -> CheckpointSaved | CheckpointFailed:
        if self.saving_fails:
            return CheckpointFailed(step=self.step, reason="No space left", kept_step=0)
        return CheckpointSaved(step=self.step, path="/x", save_s=0.1)

    def run(self) -> Generator[Event, None, None]:
        try:
            yield started()
            while not self.stopped.wait(0.01):
                if self.wants_save.is_set():
                    self.wants_save.clear()
                    yield self.kept()
                    continue
                self.step += 1
                yield step(self.step)
            yield CheckpointSaved(step=self.step, path="/x", save_s=0.1)
            yield finished("stopped", steps=self.step)
        finally:
            self.closed.set()

    def save(self) -> bool:
        self.wants_save.set()
        return True


class Commanded(Endless):
    """Steps, and obeys commands, as a run does."""

    def __init__(self) -> None:
        super().__init__()
        self.wishes = Wishes(sleep=lambda _: None)
        self.lr_factor, self.steps = 1.0, 2000

    def run(self) -> Generator[Event, None, None]:
        is_paused, owed = False, 0
        yield started()
        while not self.stopped.wait(0.01):
            while (command := self.wishes.take()) is not None:
                if command.action in ("pause", "resume", "step"):
                    is_paused, owed = command.action != "resume", int(command.action == "step")
                self.lr_factor *= command.value if command.action == "lr" else 1
                self.steps += int(command.value) if command.sign == "+" else 0
                yield Controlled(
                    step=self.step,
                    action=command.action,
                    words=" ".join(command.words),
                    lr_factor=self.lr_factor,
                    steps=self.steps,
                )
                if command.action == "save":
                    yield self.kept()
            if is_paused and not owed:
                yield Paused(step=self.step)
                self.wishes.wait()
                continue
            self.step, owed = self.step + 1, 0
            yield step(self.step)
        yield finished("stopped", steps=self.step)

    def save(self) -> bool:
        return self.control(Command(action="save"))

    def control(self, command: Command) -> bool:
        self.wishes.ask(command)
        return True

    def has_news(self) -> bool:
        return self.wishes.has_news()


class Recipes:
    """Hands out scripts, and remembers what was asked for."""

    def __init__(self, **scripts: Script | Exception | list[Any]) -> None:
        self.scripts = scripts
        self.asked: list[tuple[Any, ...]] = []

    def _next(self, kind: str) -> Script:
        script = self.scripts[kind]
        if isinstance(script, list):
            script = script.pop(0)
        if isinstance(script, Exception):
            raise script
        return script

    def training(self, config: RunConfig, *, name: str | None = None) -> Script:
        self.asked.append(("training", config))
        return self._next("training")

    def evaluation(self, run: str = "last", *, text: Any = None, stride: int = 0) -> Script:
        self.asked.append(("evaluation", run, text, stride))
        return self._next("evaluation")

    def generation(
        self, run: str = "last", sampling: SamplingConfig | None = None, *, kept: Any = None
    ) -> Script:
        self.asked.append(("generation", run, sampling))
        return self._next("generation")

    def proving(self, run: str = "last", sampling: SamplingConfig | None = None) -> Script:
        self.asked.append(("proving", run, sampling))
        return self._next("proving")

    def benchmarking(self, run: str = "last", bench: BenchConfig | None = None) -> Script:
        self.asked.append(("benchmarking", run, bench))
        return self._next("benchmarking")

    def resuming(self, run: str = "last", **_budget: Any) -> Script:
        self.asked.append(("resuming", run))
        return self._next("resuming")

    def forking(self, run: str = "last", **changes: Any) -> Script:
        self.asked.append(("forking", run, changes))
        return self._next("forking")

    def exporting(self, run: str = "last", **how: Any) -> Script:
        self.asked.append(("exporting", run, how))
        return self._next("exporting")

    def importing(self, source: Any, **how: Any) -> Script:
        self.asked.append(("importing", source, how))
        return self._next("importing")

    def dueling(self, a: Any, b: Any = None, **how: Any) -> Script:
        self.asked.append(("dueling", a, b, how))
        return self._next("dueling")

    def forecasting(self, config: RunConfig) -> Script:
        self.asked.append(("forecasting", config))
        return self._next("forecasting")

    def planned_lr(
        self, config: RunConfig, points: int = 100, *, steps: int | None = None
    ) -> tuple[tuple[float, float], ...]:
        shares = [i / (points - 1) for i in range(points)]
        lr = config.train.lr
        return tuple((s, lr * min(1.0, s * 10) * (0.55 + 0.45 * math.cos(3 * s))) for s in shares)

    def estimate(self, config: RunConfig) -> Any:
        class Estimate:
            n_params = config.model.d_model * 8000
            training_bytes = 130 * 2**20
            flops_per_token = 3_900_000

        return Estimate()


def app_with(*, autostart: bool = False, **scripts: Any) -> MinitfApp:
    recipes = Recipes(**scripts)
    app = MinitfApp(lambda: recipes, autostart=autostart)
    app.asked = recipes.asked  # type: ignore[attr-defined]
    return app
