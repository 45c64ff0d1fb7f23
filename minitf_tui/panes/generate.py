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
from core.events import (
    Event,
    GenerationFinished,
    GenerationProved,
    PromptRead,
    TokenGenerated,
)
from core.kept_run import KeptRun
from minitf_tui import escapes
from minitf_tui import format as fmt
from minitf_tui.job import Device
from minitf_tui.problems import escape, quoted
from minitf_tui.widgets.form import Form, Item, items_of, shown
from minitf_tui.widgets.hint import Hint
from minitf_tui.widgets.pane import STOP, Pane, Recipes
from minitf_tui.widgets.readout import Progress
from minitf_tui.widgets.texts import Texts
from minitf_tui.widgets.way_line import WayLine

if TYPE_CHECKING:
    from core.recipes import Session

PROMPT = Item(
    "prompt", "", "text to continue; empty takes a piece of the held-out text", is_wide=True
)
RUN = Item("run", "last", "which run: a name, last, best, or one of them with @STEP")
STOP_TEXTS = Item("stop", "", r"end before one of these texts, parted by bars: \n\n | END")
COMMON = ("engine", "cache", "max_new_tokens", "temperature", "bits", "seed", "top_k", "top_p")
RARE = (
    *("min_p", "count", "repetition_penalty", "presence_penalty", "frequency_penalty"),
    *("penalty_window", "window", "sinks"),
)
"""Shown while somebody is in the form; what is switched on among them is told in a line."""


class GeneratePane(Pane):
    """Let a run write."""

    NAME = "generate"
    JOB = "generation"
    KEYS = (
        Binding("g", "generate", "generate", tooltip="write; what is being written now is stopped"),
        Binding("a", "again", "again", tooltip="write again, with the next seed"),
        STOP,
        Binding("e", "engine", "engine", tooltip="another engine; what is being written restarts"),
        Binding("c", "cache", "cache", tooltip="another cache; what is being written restarts"),
        Binding("b", "bits", "bits", tooltip="weights as stored, in 8 or in 4 bits"),
        Binding("p", "prove", "prove", tooltip="hold it against the plain model, on this prompt"),
    )

    def __init__(self, device: Device, recipes: Callable[[], Recipes]) -> None:
        super().__init__(device, recipes)
        self._sampling = SamplingConfig()
        self._kept = KeptRun()
        self._tokens: deque[TokenGenerated] = deque()
        self._texts = Texts(id="text-box")
        self._bar = Progress()
        self._way = WayLine()
        self._is_proving = False
        self._forget()

    def _forget(self) -> None:
        """Nothing is written yet."""
        self._written: dict[int, int] = {}
        """Tokens of each continuation."""
        self._characters: dict[int, int] = {}
        """Those that are shown of each continuation."""
        self._speed = 0.0
        self._read: PromptRead | None = None
        self._is_prompt_shown = False
        self._result: GenerationFinished | None = None
        self._is_proved = False

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self.problem
        items = items_of(SamplingConfig(), (*COMMON, *RARE))
        with Container(id="settings", classes="box"):
            yield Form((PROMPT, RUN, *items, STOP_TEXTS), columns=3)
        yield Hint(
            "Let a run write, one token at a time.",
            ("g", "generate from held-out text"),
            ("i", "write a prompt, set the sampler"),
            ("e", "another engine; c another cache, b other bits"),
            ("p", "prove that it writes what the plain model writes"),
        )
        yield self._bar
        yield self._way
        yield self._texts

    def on_mount(self) -> None:
        """What can be done only once it is on the screen."""
        self.query_one("#settings").border_title = "prompt and sampler"
        for name in (*RARE, STOP_TEXTS.name):
            self.query_one(f"#row-{name}").add_class("-rare")

    @on(Form.Changed)
    def _tell_rare(self) -> None:
        form = self.query_one(Form)
        texts = form.texts()
        changed = [item for item in form.items if texts[item.name] != shown(item.value)]
        told = [f"{i.name} {texts[i.name]}" for i in changed if i.name in (*RARE, STOP_TEXTS.name)]
        form.summarise(escape("   ".join(told)))

    @on(Form.Submitted)
    def _submitted(self) -> None:
        self.do_generate()

    def can(self, action: str) -> bool:
        """See `Pane.can`."""
        match action:
            case "again":
                return self.job is not None
            case "engine" | "cache" | "bits":
                return True
            case "prove":
                return not self.is_active
            case _:
                return self.is_active == (action == "stop")

    def do_generate(self) -> None:
        """Write with the settings in the form; what is being written now is stopped."""
        tokens: deque[TokenGenerated] = deque()
        wanted = self._sampling

        def make() -> Session:
            nonlocal wanted
            run, wanted = self._asked()
            if self.is_active and self.job:
                self.job.stop()
            return self.recipes().generation(run, wanted, kept=self._kept)

        def collect(event: Event) -> bool:
            if isinstance(event, TokenGenerated):
                tokens.append(event)
                return True
            return False

        if self.launch(make, collect):
            self._tokens, self._sampling, self._is_proving = tokens, wanted, False
            self._forget()
            self._way.begin(wanted)
            self._texts.restart(self._titles())
            self.tick()

    def _asked(self) -> tuple[str, SamplingConfig]:
        """The run and the sampler that stand in the form.

        Raises:
            ConfigError: they make no sense.
        """
        values: dict[str, Any] = self.query_one(Form).values()
        run = values.pop("run") or "last"
        return run, SamplingConfig(**values | {"stop": escapes.read_list(values["stop"])})

    def do_prove(self) -> None:
        """Hold the chosen engine, cache and bits against the plain model."""
        wanted = self._sampling

        def make() -> Session:
            nonlocal wanted
            run, wanted = self._asked()
            return self.recipes().proving(run, wanted)

        if self.launch(make):
            self._is_proved, self._is_proving = False, True
            self._way.begin(wanted)
            self.tick()

    def _titles(self) -> list[str]:
        count, seed = self._sampling.count, self._sampling.seed
        if count == 1:
            return ["text"]
        return [f"{row + 1} of {count}, seed {seed + row}" for row in range(count)]

    def do_again(self) -> None:
        """The same once more, with the next seed that was not used."""
        form = self.query_one(Form)
        seed, count = form.texts()["seed"].strip(), form.texts()["count"].strip()
        by = int(count) if count.isdigit() else 1
        form.fill({"seed": int(seed) + by if seed.isdigit() else 0})
        self.do_generate()

    def do_engine(self) -> None:
        """Another engine."""
        self._turn("engine")

    def do_cache(self) -> None:
        """Another kind of cache."""
        self._turn("cache")

    def do_bits(self) -> None:
        """Another number of bits for each weight."""
        self._turn("bits")

    def _turn(self, name: str) -> None:
        """The next choice of a setting; what is being written begins again with it."""
        form = self.query_one(Form)
        choices = next(item.choices for item in form.items if item.name == name)
        here = form.texts()[name]
        place = choices.index(here) if here in choices else -1
        form.fill({name: choices[(place + 1) % len(choices)]})
        if self.is_active and not self._is_proving:
            self.do_generate()

    def hear(self, event: Event) -> None:
        """See `Pane.hear`."""
        if isinstance(event, PromptRead):
            self._read = event
            self._way.hear_read(event)
        elif isinstance(event, GenerationFinished):
            self._result = event
            self._way.hear_speed(event.result.tokens_per_s)
        elif isinstance(event, GenerationProved):
            self._is_proved = True
            self._way.hear_proof(event)
        self.tick()

    @property
    def share(self) -> float | None:
        """See `Pane.share`."""
        if not (self.is_active and self._read) or self._is_proving:
            return None
        return min(1.0, max(self._written.values(), default=0) / self._sampling.max_new_tokens)

    def tick(self) -> None:
        """See `Pane.tick`."""
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
        written = fmt.plural(sum(self._written.values()), "token")
        if self.is_active:
            written = "proving on this prompt" if self._is_proving else written
            return {"waiting": "waiting for the device", "stopping": "stopping"}.get(
                self.state, self.stage or written
            )
        if self._is_proving and not self._is_proved:
            return "" if self.error else "stopped before it was proved"
        if self._is_proving and not self._written:
            return "proved"
        if self._result is None:
            return "stopped" if self.error is None else ""
        texts = self._result.continuations
        if any(text.stop == "stopped" for text in texts):
            return f"stopped after {written}"
        if len(texts) == 1 and texts[0].stop_string:
            return f"{written}, then {quoted(texts[0].stop_string)}"
        return f"wrote {written}"

    def _drain(self) -> None:
        """Everything that arrived since the last look, in one write a text."""
        if self._read is None or not self._texts.is_ready:
            return
        if not self._is_prompt_shown:
            self._is_prompt_shown = True
            for row in range(self._sampling.count):
                self._texts.write(self._read.prompt, "$quiet", row=row)
        parts: dict[int, str] = {}
        while self._tokens:
            event = self._tokens.popleft()
            parts[event.row] = parts.get(event.row, "") + event.token.text
            self._written[event.row], self._speed = event.index, event.tokens_per_s
        for row, text in parts.items():
            self._show(row, text)
        if self._result:  # what was held back, in case a stop string had begun
            for row, whole in enumerate(self._result.continuations):
                self._show(row, whole.text[self._characters.get(row, 0) :])

    def _show(self, row: int, text: str) -> None:
        self._characters[row] = self._characters.get(row, 0) + len(text)
        self._texts.write(text, row=row)
