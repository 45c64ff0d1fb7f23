"""The settings of a run, as a form that says at once what they cost or why they cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from textual import on

from core.config import RunConfig
from core.errors import MinitfError
from core.presets import ABOUT, PRESETS, QUICK, preset
from minitf_tui import format as fmt
from minitf_tui.problems import explain
from minitf_tui.widgets.form import Form, Item, items_of

SETTINGS = (
    "corpus",
    "tokenizer",
    "seconds",
    "steps",
    "epochs",
    "d_model",
    "n_layers",
    "n_heads",
    "context",
    "batch_size",
    "lr",
    "seed",
)
PRESET = Item("preset", "quick", "a named set of settings", choices=tuple(PRESETS))


class Cost(Protocol):
    """The part of core's estimate that the form shows."""

    @property
    def n_params(self) -> int: ...

    @property
    def training_bytes(self) -> int: ...


class RunForm(Form):
    """A preset, and the settings that are most often changed."""

    def __init__(self, estimate: Callable[[RunConfig], Cost]) -> None:
        super().__init__((PRESET, *items_of(QUICK, SETTINGS)))
        self._estimate = estimate

    def on_mount(self) -> None:
        self.call_after_refresh(self._judge)

    def config(self) -> RunConfig:
        """The config in the form.

        Raises:
            MinitfError: the settings are impossible.
        """
        values: dict[str, Any] = self.values()
        return preset(values.pop(PRESET.name)).with_changes(**values)

    @on(Form.Changed)
    def _changed(self, event: Form.Changed) -> None:
        if event.name == PRESET.name:
            base = preset(self.texts()[PRESET.name])
            self.fill({item.name: item.value for item in items_of(base, SETTINGS)})
        self._judge()

    def _judge(self) -> None:
        name = self.texts()[PRESET.name]
        try:
            config = self.config()
            cost = self._estimate(config)
        except MinitfError as error:
            self.complain(explain(error))
            return
        self.complain("")
        about = f"  {ABOUT[name]}" if config == preset(name) else ""
        self.summarise(
            f"{fmt.count(cost.n_params)} parameters, {fmt.size_bytes(cost.training_bytes)}"
            f" to train.{about}"
        )
