"""Sessions that replay a story, and the app over them: no model, no disk, no waiting."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any

from textual.pilot import Pilot

from core.config import BenchConfig, Command, RunConfig, SamplingConfig
from core.events import (
    AlertRaised,
    BenchCell,
    Benchmark,
    BenchmarkCompleted,
    CheckpointFailed,
    CheckpointSaved,
    Controlled,
    Evaluation,
    EvaluationCompleted,
    EvaluationProgressed,
    Event,
    GeneratedToken,
    Generation,
    GenerationFinished,
    HealthMeasured,
    Paused,
    PromptRead,
    Proof,
    RepetitionCompleted,
    RunFinished,
    RunStarted,
    SampleCompleted,
    SetupProgressed,
    StepCompleted,
    TokenGenerated,
    TrainResult,
    ValidationCompleted,
    Variant,
)
from core.training.wishes import Wishes
from minitf_tui.app import MinitfApp

SAMPLE = "s are objects that\nsupport the buffer protocol. See the section on types.\n\nNew."


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


async def settle(pilot: Pilot[Any]) -> None:
    """Until no job runs and every message has been heard."""
    app: Any = pilot.app
    await asyncio.to_thread(app.device.wait, 10)
    for _ in range(3):
        await pilot.pause()
    app._ticks = -1  # the next look is one at the device, too
    app.look()
    await pilot.pause()


async def reach(pilot: Pilot[Any], event: threading.Event) -> None:
    """Until the worker has come to that place."""
    assert await asyncio.to_thread(event.wait, 10)
    for _ in range(3):
        await pilot.pause()


def screen_text(app: Any) -> str:
    """The screen as text, a line a row."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)


def step(n: int, **changes: Any) -> StepCompleted:
    values: dict[str, Any] = {
        "step": n,
        "loss": 1.2 + 5.7 * math.exp(-n / 80) + 0.15 * math.sin(n * 1.7),
        "lr": 3e-3 * min(1.0, n / 50) * (0.55 + 0.45 * math.cos(n / 300)),
        "grad_norm": 0.5 + 0.3 * math.sin(n) ** 2,
        "tokens": n * 2048,
        "tokens_per_s": 21_500.0,
        "train_s": n * 0.095,
    }
    return StepCompleted(**values | changes)


def started(**changes: Any) -> RunStarted:
    values: dict[str, Any] = {
        "run": "python-docs-1",
        "path": "/tmp/python-docs-1",
        "step": 0,
        "steps": 0,
        "seconds": 90.0,
        "n_params": 1_050_112,
        "vocab_size": 1024,
        "train_tokens": 145_000,
        "validation_tokens": 16_000,
        "bytes_per_token": 2.93,
        "context": 128,
        "device": "cpu",
        "dtype": "float32",
        "threads": 2,
    }
    return RunStarted(**values | changes)


def validation(n: int) -> ValidationCompleted:
    loss = 1.35 + 5.5 * math.exp(-n / 80)
    return ValidationCompleted(
        step=n,
        loss=loss,
        loss_ci95=(loss - 0.02, loss + 0.02),
        perplexity=math.exp(loss),
        bits_per_byte=loss / math.log(2) / 2.93,
        train_s=n * 0.095,
        eval_s=0.8,
        is_best=True,
    )


def sample(n: int, text: str = SAMPLE) -> SampleCompleted:
    return SampleCompleted(step=n, prompt="The bytes and bytearray type", text=text)


def finished(reason: str = "budget", steps: int = 940) -> RunFinished:
    return RunFinished(
        reason=reason,
        result=TrainResult(
            run="python-docs-1",
            path="/tmp/python-docs-1",
            steps=steps,
            tokens=steps * 2048,
            params=1_050_112,
            context=128,
            train_s=90.0,
            eval_s=6.0,
            sample_s=2.0,
            save_s=0.5,
            setup_s=2.5,
            wall_s=101.0,
            val_loss=1.35,
            val_perplexity=3.86,
            bits_per_byte=0.665,
        ),
    )


def training_story(steps: int) -> list[Event]:
    events: list[Event] = [
        SetupProgressed(stage="loading PyTorch"),
        SetupProgressed(stage="training a tokenizer"),
        started(),
        CheckpointSaved(step=0, path="/x", save_s=0.01),
    ]
    for n in range(1, steps + 1):
        events.append(step(n))
        if n % 100 == 0:
            events += [validation(n), sample(n)]
        if n % 250 == 0:
            events.append(CheckpointSaved(step=n, path="/x", save_s=0.1))
    return events


def health(n: int, layers: int = 3) -> HealthMeasured:
    """As a run of so many blocks would tell: updates shrink, attention sharpens."""
    names = ("embedding", *(str(i) for i in range(1, layers + 1)), "head")
    fade = math.exp(-n / 150)
    return HealthMeasured(
        step=n,
        layers=names,
        weight_norms=tuple(10.0 + 3 * i + n / 100 for i in range(len(names))),
        grad_norms=tuple(0.2 + 0.1 * math.sin(n / 20 + i) for i in range(len(names))),
        update_ratios=tuple((0.2 if i == 0 else 0.02) * fade for i in range(len(names))),
        dead_shares=tuple(0.04 + 0.3 * i for i in range(layers)),
        attention_entropies=tuple(0.3 + 0.6 * fade - 0.05 * i for i in range(layers)),
        logit_low=-5.0 - n / 50,
        logit_high=4.0 + n / 60,
        clip_rate=0.125,
        probed_tokens=256,
        cost_s=0.009,
    )


def alert(n: int, kind: str = "spike") -> AlertRaised:
    return AlertRaised(
        step=n,
        kind=kind,
        sentence=f"The loss rose to 4.12 by step {n}, from a median of 2.01 before.",
        hint="Try a lower lr than 0.003 (it was 0.0029 here), a longer warm-up than 50 steps.",
    )


def health_story(steps: int, layers: int = 3) -> list[Event]:
    """A training run that is measured every tenth step, and spikes in the middle."""
    told: list[Event] = []
    for event in training_story(steps):
        told.append(event)
        if isinstance(event, StepCompleted) and event.step % 10 == 0:
            told.append(health(event.step, layers))
        if isinstance(event, StepCompleted) and event.step == steps // 2:
            told.append(alert(event.step))
    return told


def evaluation_story(run: str = "python-docs-1", text: str = "validation split") -> list[Event]:
    result = Evaluation(
        loss=1.3468,
        loss_ci95=(1.3301, 1.3635),
        perplexity=3.845,
        bits_per_byte=0.6631,
        top1=0.6712,
        top5=0.8543,
        tokens=15_999,
        bytes=46_600,
        stride=128,
        context=128,
    )
    return [
        SetupProgressed(stage="loading the run"),
        EvaluationProgressed(tokens=8000, of=15_999, loss=1.36),
        EvaluationProgressed(tokens=15_999, of=15_999, loss=1.3468),
        EvaluationCompleted(run=run, step=940, text=text, result=result),
    ]


def token(index: int, text: str) -> TokenGenerated:
    return TokenGenerated(
        index=index,
        token=GeneratedToken(id=index, text=text, logprob=-1.0, top=()),
        tokens_per_s=812.0,
    )


def generation_story(
    words: Iterable[str] = ("s", " are", " obj", "ects", "."), stop: str = "length"
) -> list[Event]:
    pieces = list(words)
    tokens = [token(i, piece) for i, piece in enumerate(pieces, 1)]
    result = Generation(
        text="".join(pieces),
        prompt_tokens=16,
        tokens=tuple(t.token for t in tokens),
        ttft_ms=9.5,
        tokens_per_s=812.0,
        stop=stop,
    )
    return [
        SetupProgressed(stage="loading the run"),
        PromptRead(prompt="Binary sequence type", prompt_tokens=16, context=256, prefill_ms=8.1),
        *tokens,
        GenerationFinished(result=result),
    ]


def variant(cache: str = "static", **given: Any) -> Variant:
    facts: dict[str, Any] = {
        "engine": "torch",
        "cache": cache,
        "dtype": "float32",
        "bits": 0,
        "threads": 2,
        "prompt_tokens": 16,
        "depth": 16,
    }
    return Variant(**(facts | given))


def repetitions(reps: int = 3, warmup: int = 1) -> list[Event]:
    events: list[Event] = [SetupProgressed(stage="loading the run")]
    for index in range(1 - warmup, reps + 1):
        for cache, decode, prefill in (("none", 4100.0, 12.0), ("static", 640.0, 12.4)):
            events.append(
                RepetitionCompleted(
                    variant=variant(cache),
                    index=index,
                    is_stable=index > 0,
                    prefill_ms=prefill + index * 0.3,
                    decode_ms=decode * (1 + 0.03 * math.sin(index * 2)),
                    tokens=512,
                )
            )
    return events


def benchmark_story(proof: Proof | None = None, run: str = "python-docs-1") -> list[Event]:
    proof = proof or Proof(
        identical_tokens=512,
        of=512,
        near_ties=0,
        max_logit_diff=2.1e-6,
        held_out_tokens=512,
        mean_kld=1e-9,
        passes=True,
    )
    cells = tuple(
        BenchCell(
            variant=variant(cache),
            phase=phase,
            depth=16 if phase == "decode" else 0,
            tokens=512 if phase == "decode" else 16,
            mean_ms=mean,
            sd_ms=12.0,
            median_ms=mean,
            min_ms=mean - 10,
            samples_ms=(mean, mean, mean),
            tokens_per_s=512_000 / mean,
            cache_bytes=1_081_344 if cache == "static" else 0,
            proof=proof if cache == "static" else None,
        )
        for cache, phase, mean in (
            ("none", "prefill", 12.3),
            ("static", "prefill", 12.7),
            ("none", "decode", 4100.0),
            ("static", "decode", 640.0),
        )
    )
    result = Benchmark(
        cells=cells,
        ratios=(),
        limits=None,
        speedup=6.41,
        environment={"torch": "2.13.0", "device": "cpu", "dtype": "float32", "threads": 2},
    )
    return [*repetitions(), BenchmarkCompleted(run=run, step=940, result=result)]
