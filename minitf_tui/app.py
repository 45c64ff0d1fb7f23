"""The app: five panes over one device.

Nothing is focused on entry, so that single keys act. They are bound here and handed to the pane
that is shown; a key that would do nothing there is not in the bottom line.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.command import Provider
from textual.events import Resize
from textual.widgets import ContentSwitcher

from core import paths
from core.config import RunConfig
from minitf_tui import format as fmt
from minitf_tui.keys import bindings
from minitf_tui.leaving import SAVING_LIMIT_S
from minitf_tui.moving import MovingApp
from minitf_tui.panes.benchmark import BenchmarkPane
from minitf_tui.panes.evaluate import EvaluatePane
from minitf_tui.panes.generate import GeneratePane
from minitf_tui.panes.runs import RunsPane
from minitf_tui.panes.train import TrainPane
from minitf_tui.theme import DARK, LIGHT
from minitf_tui.widgets.help import HelpScreen, sections
from minitf_tui.widgets.key_line import KeyLine
from minitf_tui.widgets.pane import Pane, Recipes
from minitf_tui.widgets.tabs import Tab, TabStrip

PANES: tuple[type[Pane], ...] = (
    TrainPane,
    EvaluatePane,
    BenchmarkPane,
    GeneratePane,
    RunsPane,
)
TICK_S = 0.05
"""Streaming text is drained 20 times a second."""
TICKS_PER_STATUS, TICKS_PER_SLOW_LOOK = 4, 10
VAST, LOFTY = 160, 48
"""Columns and rows from which a pane may spread."""


def _commands() -> type[Provider]:
    from minitf_tui.commands import Commands  # with the palette, not before the first frame

    return Commands


class MinitfApp(MovingApp):
    """The laboratory on one screen."""

    TITLE = "minitf"
    PANES = PANES
    COMMANDS: ClassVar = {_commands}
    AUTO_FOCUS = None
    CSS_PATH: ClassVar = [
        "app.tcss",
        "panes/train.tcss",
        "panes/evaluate.tcss",
        "panes/benchmark.tcss",
        "panes/generate.tcss",
        "panes/runs.tcss",
        "widgets/transfer.tcss",
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-broad")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = list(bindings(PANES))

    def __init__(
        self, recipes: Callable[[], Recipes] | None = None, *, autostart: bool = False
    ) -> None:
        super().__init__(recipes or _core_recipes)
        self._autostart = autostart
        self.used_run = "last"
        self._ticks = -1
        self._tabs = TabStrip([pane.NAME for pane in PANES])
        self._switcher = ContentSwitcher(initial=PANES[0].NAME)

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self._tabs
        yield self.notice
        with self._switcher:
            yield PANES[0](self.device, self._recipes)
        yield KeyLine()

    def on_mount(self) -> None:
        """What can be done only once it is on the screen."""
        self._tabs.show(self.pane.NAME)
        self.set_interval(TICK_S, self.look)
        self.call_after_refresh(self._after_first_frame)

    def on_resize(self, event: Resize) -> None:
        # Beside the breakpoints, of which only the last that fits is set.
        """Fit what is shown to the new size."""
        self.screen_stack[0].set_class(event.size.width >= VAST, "-vast")
        self.screen_stack[0].set_class(event.size.height >= LOFTY, "-lofty")

    def _after_first_frame(self) -> None:
        if self._autostart:
            self.pane.act("train")

    @property
    def pane(self) -> Pane:
        """The pane that is shown."""
        return self._switcher.get_child_by_id(self._switcher.current or "", Pane)

    @property
    def _shown(self) -> Pane | None:
        """The same; None before the first frame and after the last."""
        name = self._switcher.current
        return next((pane for pane in self._panes if pane.id == name), None)

    @property
    def _panes(self) -> list[Pane]:
        """Those that were wanted so far, and those in a box over them."""
        boxes = [pane for screen in self.screen_stack[1:] for pane in screen.query(Pane)]
        return [child for child in self._switcher.children if isinstance(child, Pane)] + boxes

    # Keys.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether a key does something now; see `App.check_action`."""
        if action == "pane":
            pane = self._shown
            return pane is not None and parameters[0] == pane.NAME and pane.can(str(parameters[1]))
        if action == "edit":
            return self._shown is not None and self._shown.HAS_FORM
        return super().check_action(action, parameters)

    async def action_show(self, name: str) -> None:
        """Go to a pane."""
        if not any(child.id == name for child in self._switcher.children):
            # Made when it is first wanted: the first frame, and the first step, come sooner.
            pane = next(pane for pane in PANES if name == pane.NAME)
            made = pane(self.device, self._recipes)
            await self._switcher.add_content(made)
            made.use_run(self.used_run)
        self.set_focus(None)
        self._switcher.current = name
        self._tabs.show(name)
        self.pane.tick()
        self.refresh_bindings()

    async def action_turn(self, by: int) -> None:
        """Go to the next pane, or to the one before."""
        names = [pane.NAME for pane in PANES]
        await self.action_show(names[(names.index(self.pane.NAME) + by) % len(names)])

    def action_pane(self, _pane: str, action: str) -> None:
        """Hand a key to the pane that is shown."""
        self.pane.act(action)

    def action_edit(self) -> None:
        """Into the fields of the pane."""
        self.pane.edit()

    def action_toggle_theme(self) -> None:
        """Dark or light."""
        self.change_settings(theme=LIGHT.name if self.current_theme.dark else DARK.name)

    def action_help(self) -> None:
        """The keys that do something here, on one page."""
        self.push_screen(HelpScreen(sections(self.pane, self.BINDINGS)))

    # Runs.

    @on(RunsPane.Used)
    def _run_used(self, event: RunsPane.Used) -> None:
        self.use_run(event.name)

    @on(RunsPane.Resumed)
    async def _run_resumed(self, event: RunsPane.Resumed) -> None:
        event.stop()
        await self.resume_run(event.name)

    @on(RunsPane.Forked)
    async def _run_forked(self, event: RunsPane.Forked) -> None:
        event.stop()
        await self.action_show(TrainPane.NAME)
        if isinstance(self.pane, TrainPane):
            self.pane.fork(event.run, event.changes)

    @on(RunsPane.Exported)
    def _run_exported(self, event: RunsPane.Exported) -> None:
        self.export_run(event.name)

    @on(RunsPane.Imported)
    def _model_imported(self) -> None:
        self.import_model()

    @on(RunsPane.Duelled)
    def _runs_duelled(self, event: RunsPane.Duelled) -> None:
        self.duel(event.a, event.b, event.runs, event.kept)

    def settings_of_form(self) -> RunConfig:
        """See `MovingApp.settings_of_form`."""
        return self._switcher.query_one(TrainPane).form.config()

    def run_arrived(self, name: str) -> None:
        """See `MovingApp.run_arrived`."""
        for pane in self.query(RunsPane):
            pane.go_to(name)

    def use_run(self, name: str) -> None:
        """Have all panes work with that run, also those that are made later."""
        self.used_run = name
        for pane in self._panes:
            pane.use_run(name)
        self.notify(f"All panes work with {name} now.", markup=False)

    async def resume_run(self, name: str) -> None:
        """Go on with a run in the Train pane."""
        await self.action_show(TrainPane.NAME)
        if isinstance(self.pane, TrainPane):
            self.pane.resume(name)

    @on(Tab.Chosen)
    async def _tab_chosen(self, event: Tab.Chosen) -> None:
        await self.action_show(event.pane)

    # What is told.

    def look(self) -> None:
        """Look at the disk and the device again."""
        pane = self._shown
        if pane is None:
            return
        self._ticks += 1
        if self.settings.low_bandwidth and self._ticks % TICKS_PER_SLOW_LOOK:
            return
        pane.tick()
        if self._ticks % TICKS_PER_STATUS == 0 or self.is_leaving:
            for each in self._panes:
                each.look_at_device()
            self._tabs.tell(*self._status())
            self._tabs.warn([pane.NAME for pane in self._panes if pane.error is not None])

    def _status(self) -> tuple[str, str]:
        if self.is_leaving:
            return "saving, then leaving", "bold $warning"
        active = [pane for pane in self._panes if pane.is_active]
        running = [pane for pane in active if pane.state != "paused"]
        if not active:
            return "idle", "$quiet"
        told = (running or active)[0]
        share = f" {fmt.percent(told.share).split('.')[0]} %" if told.share is not None else ""
        words = told.JOB if told.state == "running" else f"{told.JOB}, {told.state}"
        return f"{words}{share}", "$accent" if running else "$warning"


def _core_recipes() -> Recipes:
    from core import recipes

    return recipes


def is_first_start() -> bool:
    """True while there are no runs."""
    try:
        return not any(paths.runs_dir().iterdir())
    except OSError:
        return True


def run_app(*, autostart: bool | None = None) -> int:
    """Show the app until somebody leaves it; the exit status of the process.

    Args:
        autostart: begin the quick-start at once; None does so on the very first start only,
            unless `MINITF_AUTOSTART=0`.
    """
    from minitf_tui.terminal import private_terminal

    if autostart is None:
        autostart = os.environ.get("MINITF_AUTOSTART") != "0" and is_first_start()
    app = MinitfApp(autostart=autostart)
    with private_terminal():
        try:
            app.run()
        finally:
            app.device.stop_all()
            app.device.wait(SAVING_LIMIT_S if app.waits else 0.0)
    if app.exit_signal:
        return 128 + app.exit_signal
    return app.return_code or 0
