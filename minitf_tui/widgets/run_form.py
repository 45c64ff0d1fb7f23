"""The settings of a run, as a form that says at once what they cost or why they cannot be.

It is made from the fields of `RunConfig`: whatever is a flag is a line here. A few of each
section show at once, the rest when the section is unfolded or looked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Protocol

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from core.config import RunConfig
from core.errors import MinitfError
from core.fields import flag_fields
from core.presets import ABOUT, PRESETS, QUICK, preset
from minitf_tui import format as fmt
from minitf_tui.problems import explain
from minitf_tui.widgets.form import Item, items_of
from minitf_tui.widgets.outline import Section
from minitf_tui.widgets.sheet import Sheet

AT_HAND = (
    "corpus",
    "tokenizer",
    "d_model",
    "n_layers",
    "n_heads",
    "seconds",
    "steps",
    "epochs",
    "context",
    "batch_size",
    "lr",
    "seed",
)
"""What is changed most often."""
SECTIONS = ("text", "model", "train", "eval")
PRESET = Item("preset", "quick", "a named set of settings", choices=tuple(PRESETS))


class Cost(Protocol):
    """The part of core's estimate that the form shows."""

    @property
    def n_params(self) -> int:
        """Trainable numbers."""

    @property
    def training_bytes(self) -> int:
        """Memory of a training step."""

    @property
    def flops_per_token(self) -> int:
        """Forward and backward."""


def all_items(config: RunConfig) -> dict[str, tuple[Item, ...]]:
    """A form item for every flag, by section."""
    names: dict[str, list[str]] = {section: [] for section in SECTIONS}
    for section, about in flag_fields(config):
        names.setdefault(section, []).append(about.name)
    return {section: tuple(map(_as_typed, items_of(config, names[section]))) for section in names}


def _as_typed(item: Item) -> Item:
    """A prompt keeps the spaces at its ends: they are tokens."""
    return replace(item, is_wide=True) if item.name == "sample_prompt" else item


def sections(config: RunConfig) -> list[Section]:
    """The preset, and the settings in their sections."""
    parts = [Section("", (PRESET,))]
    for name, items in all_items(config).items():
        at_hand = sorted(
            (i for i in items if i.name in AT_HAND), key=lambda item: AT_HAND.index(item.name)
        )
        rest = tuple(item for item in items if item.name not in AT_HAND)
        parts.append(Section(name, tuple(at_hand), rest))
    return parts


class RunForm(Container):
    """A preset, and all settings of a run."""

    DEFAULT_CSS = """
    RunForm {
        height: 1fr; width: 1fr;
        & > #find { display: none; background: $surface; margin-bottom: 1; }
        &.-seeking > #find { display: block; }
        & > #help { width: 1fr; height: auto; min-height: 4; max-height: 9; color: $quiet; }
        & > #help.-problem { color: $error; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+f", "seek", "find", key_display="^F", tooltip="find a setting by a word"),
        Binding(
            "f5", "forecast", "forecast", key_display="F5", tooltip="forecast of these settings"
        ),
        Binding("escape", "leave", "leave", key_display="Esc", tooltip="out of the settings"),
    ]

    class Judged(Message):
        """The settings are others; `config` is None while they are impossible."""

        def __init__(self, config: RunConfig | None) -> None:
            super().__init__()
            self.config = config

    class Submitted(Message):
        """Enter was pressed on a setting."""

    class ForecastWanted(Message):
        """The key of the forecast was pressed."""

    def __init__(self, estimate: Callable[[RunConfig], Cost]) -> None:
        super().__init__()
        self._estimate = estimate
        self._problem = ""
        self._summary = ""
        self._is_raised = False
        self.sheet = Sheet(sections(QUICK))
        self.outline = self.sheet.outline
        self._find = Input(id="find", compact=True, placeholder="find a setting")
        self._help = Static("", id="help", markup=False)

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self._find
        yield self.sheet
        yield self._help

    def on_mount(self) -> None:
        """What can be done only once it is on the screen."""
        self.call_after_refresh(self._judge)

    def config(self) -> RunConfig:
        """The config in the form.

        Raises:
            MinitfError: the settings are impossible.
        """
        texts = self.outline.texts
        values: dict[str, Any] = {
            name: item.parse(texts[name]) for name, item in self.outline.items.items()
        }
        return preset(values.pop(PRESET.name)).with_changes(**values)

    def texts(self) -> dict[str, str]:
        """What stands in the fields."""
        return dict(self.outline.texts)

    def fill(self, values: dict[str, Any]) -> None:
        """Write values into the fields of those names."""
        self.sheet.fill(values)
        self._hold_context()
        self._judge()

    def use_preset(self, name: str) -> None:
        """Write every value of a preset into its field."""
        items = [item for part in all_items(preset(name)).values() for item in part]
        values = {item.name: item.value for item in items}
        self.sheet.fill({**values, PRESET.name: name}, as_base=True)
        self._hold_context()
        self._judge()

    def edit(self, name: str = "") -> None:
        """Into the field of that name, or the one where somebody was last."""
        self.sheet.edit(name)

    def action_leave(self) -> None:
        """Out of what was looked for, or else out of the fields."""
        if self.has_class("-seeking"):
            self._seek_no_more()
            self.sheet.edit()
        else:
            self.screen.set_focus(None)

    def action_seek(self, begin: str = "") -> None:
        """Look for a setting by its name or its help."""
        if not self.has_class("-seeking"):
            self.add_class("-seeking")
            self._find.value = ""
        self._find.value += begin
        self._find.cursor_position = len(self._find.value)
        self._find.focus()

    def action_forecast(self) -> None:
        """Measure what these settings take."""
        self.post_message(self.ForecastWanted())

    @on(Sheet.Sought)
    def _sought(self, event: Sheet.Sought) -> None:
        self.action_seek(event.letter)

    @on(Input.Changed, "#find")
    def _find_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.sheet.seek(event.value)
        self._explain()

    @on(Input.Submitted, "#find")
    def _find_entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.sheet.edit()

    def on_key(self, event: Any) -> None:
        """Keys that are no bindings."""
        if event.key in ("down", "up") and self._find.has_focus:
            event.stop()
            self.sheet.edit()

    def _seek_no_more(self) -> None:
        self.remove_class("-seeking")
        with self._find.prevent(Input.Changed):
            self._find.value = ""
        self.sheet.seek("")

    @on(Sheet.Submitted)
    def _submitted(self) -> None:
        self._seek_no_more()
        self.screen.set_focus(None)
        self.post_message(self.Submitted())

    @on(Sheet.Changed)
    def _changed(self, event: Sheet.Changed) -> None:
        if event.name == PRESET.name:
            self.use_preset(self.outline.texts[PRESET.name])
        elif event.name == "max_seq_len":
            self._is_raised = False
        self._hold_context()
        self._judge()

    @on(Sheet.Moved)
    def _moved(self) -> None:
        self._explain()

    def _hold_context(self) -> None:
        """A longer context makes the model hold it, until somebody sets what it can hold."""
        texts, bases = self.outline.texts, self.outline.bases
        context = texts["context"].replace(",", "").strip()
        if not (self._is_raised or "max_seq_len" not in self.outline.changed):
            return
        least = int(bases["max_seq_len"])
        wanted = max(least, int(context)) if context.isdecimal() else least
        self._is_raised = wanted != least
        self.sheet.fill({"max_seq_len": wanted})

    def _judge(self) -> None:
        self._problem = ""
        config: RunConfig | None = None
        try:
            config = self.config()
            self._summary = summary(config, self._estimate(config))
        except MinitfError as error:
            config, self._problem = None, explain(error)
        self._explain()
        self.post_message(self.Judged(config))

    def _explain(self) -> None:
        self._help.set_class(bool(self._problem), "-problem")
        self._help.update(self._problem or self._words())

    def _words(self) -> Content:
        if not self.outline.lines:
            return Content("No setting has that in its name or its help. Escape shows all.")
        item = self.sheet.current
        if item is None or item is PRESET:
            name, changed = self.outline.texts[PRESET.name], len(self.outline.changed)
            about = f"{name} with {fmt.plural(changed, 'change')}" if changed else ABOUT[name]
            return Content.assemble((self._summary, "$foreground"), "\n", about)
        unit = f", in {item.unit}" if item.unit else ""
        was = f" ({self.outline.bases[item.name]})" if item.name in self.outline.changed else ""
        return Content.assemble(
            (self._summary, "$foreground"), "\n", f"{item.help}{unit}", (was, "$warning")
        )


def summary(config: RunConfig, cost: Cost) -> str:
    """What the settings amount to, on two lines."""
    tokens, flops = config.train.tokens_per_step, cost.flops_per_token
    return (
        f"{fmt.count(cost.n_params)} parameters, {fmt.size_bytes(cost.training_bytes)}\n"
        f"{fmt.whole(tokens)} tok/step, {fmt.count(flops)}FLOP/tok"
    )
