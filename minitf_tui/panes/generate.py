"""The Generate pane: a prompt, and a run that goes on writing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container

from core.config import SamplingConfig
from core.events import Event, GenerationFinished, PromptRead, TokenGenerated
from minitf_tui import format as fmt
from minitf_tui.job import Device
from minitf_tui.widgets.form import Form, Item, items_of
from minitf_tui.widgets.hint import Hint
from minitf_tui.widgets.pane import STOP, Pane, Recipes
from minitf_tui.widgets.readout import Progress
from minitf_tui.widgets.stream import TextStream

if TYPE_CHECKING:
    from core.recipes import Session

PROMPT = Item(
    "prompt", "", "text to continue; empty takes a piece of the held-out text", is_wide=True
)
RUN = Item("run", "last", "which run: a name, last, best, or one of them with @STEP")
SAMPLER = (
    "max_new_tokens",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "seed",
    "cache",
)


class GeneratePane(Pane):
    """Let a run write."""

    NAME = "generate"
    JOB = "generation"
    KEYS = (
        Binding("g", "generate", "generate", tooltip="write; what is being written now is stopped"),
        Binding("a", "again", "again", tooltip="write again, with the next seed"),
        STOP,
        Binding("c", "cache", "cache on/off", tooltip="cache on or off, for the next text"),
    )

    def __init__(self, device: Device, recipes: Callable[[], Recipes]) -> None:
        super().__init__(device, recipes)
        self._tokens: deque[TokenGenerated] = deque()
        self._written = self._wanted = 0
        self._speed = 0.0
        self._read: PromptRead | None = None
        self._result: GenerationFinished | None = None
        self._bar = Progress()
        self._stream = TextStream()

    def compose(self) -> ComposeResult:
        yield self.problem
        with Container(id="settings", classes="box"):
            yield Form((PROMPT, RUN, *items_of(SamplingConfig(), SAMPLER)), columns=3)
        yield Hint(
            "Let a run write, one token at a time.",
            ("g", "generate from held-out text"),
            ("i", "write a prompt, set the sampler"),
            ("c", "cache on or off"),
        )
        yield self._bar
        with Container(id="text-box", classes="box") as box:
            box.border_title = "text"
            yield self._stream

    def on_mount(self) -> None:
        self.query_one("#settings").border_title = "prompt and sampler"

    @on(Form.Submitted)
    def _submitted(self) -> None:
        self.do_generate()

    def can(self, action: str) -> bool:
        if action == "again":
            return self.job is not None
        return action == "cache" or self.is_active == (action == "stop")

    def do_generate(self) -> None:
        """Write with the settings in the form; what is being written now is stopped."""
        tokens: deque[TokenGenerated] = deque()

        def make() -> Session:
            values: dict[str, Any] = self.query_one(Form).values()
            run = values.pop("run") or "last"
            sampling = SamplingConfig(**values)
            self._wanted = sampling.max_new_tokens
            if self.is_active and self.job:
                self.job.stop()
            return self.recipes().generation(run, sampling)

        def collect(event: Event) -> bool:
            if isinstance(event, TokenGenerated):
                tokens.append(event)
                return True
            return False

        if self.launch(make, collect):
            self._tokens, self._read, self._result = tokens, None, None
            self._written, self._speed = 0, 0.0
            self._stream.restart()
            self.tick()

    def do_again(self) -> None:
        """The same once more, with the next seed."""
        form = self.query_one(Form)
        seed = form.texts()["seed"]
        form.fill({"seed": int(seed) + 1 if seed.strip().isdigit() else 0})
        self.do_generate()

    def do_cache(self) -> None:
        """Switch the cache for the next text."""
        form = self.query_one(Form)
        form.fill({"cache": form.texts()["cache"] != "on"})

    def hear(self, event: Event) -> None:
        if isinstance(event, PromptRead):
            self._read = event
            self._stream.write(event.prompt, "$quiet")
        elif isinstance(event, GenerationFinished):
            self._result = event
        self.tick()

    @property
    def share(self) -> float | None:
        if not (self.is_active and self._read and self._wanted):
            return None
        return min(1.0, self._written / self._wanted)

    def tick(self) -> None:
        if self.job is None:
            return
        self._drain()
        right = ""
        if self._read:
            right = f"prompt {fmt.plural(self._read.prompt_tokens, 'token')}"
        if self._result:
            result = self._result.result
            right += (
                f"   first token {fmt.milliseconds(result.ttft_ms)}"
                f"   {fmt.count(result.tokens_per_s)} tok/s"
            )
        elif self._speed:
            right += f"   {fmt.count(self._speed)} tok/s"
        self._bar.show(self._line(), self.share, right)

    def _line(self) -> str:
        if self.is_active:
            return {"waiting": "waiting for the device", "stopping": "stopping"}.get(
                self.state, self.stage or fmt.plural(self._written, "token")
            )
        if self._result is None:
            return "stopped" if self.error is None else ""
        how = "stopped after" if self._result.result.stop == "stopped" else "wrote"
        return f"{how} {fmt.plural(self._written, 'token')}"

    def _drain(self) -> None:
        """Everything that arrived since the last look, in one write."""
        if self._read is None:
            return
        parts = []
        while self._tokens:
            event = self._tokens.popleft()
            parts.append(event.token.text)
            self._written, self._speed = event.index, event.tokens_per_s
        self._stream.write("".join(parts))
