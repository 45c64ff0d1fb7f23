"""The command palette: everything that the app can do, by its name.

What is offered is made from the same bindings, presets, settings and runs that the rest of the
app is made from. No word of it is parsed as markup.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.style import Style

from core import paths
from core.config import Command as RunCommand
from core.presets import ABOUT
from minitf_tui.pacing import SHARE
from minitf_tui.settings import Settings
from minitf_tui.widgets.controlling import ControllingPane
from minitf_tui.widgets.form import shown
from minitf_tui.widgets.help import key_name
from minitf_tui.widgets.run_form import RunForm

if TYPE_CHECKING:
    from minitf_tui.app import MinitfApp

ELSEWHERE = ("import",)
"""Keys of panes that are offered from every pane, by another name."""
SWEEP = "many settings, one run after another: minitf sweep FILE.toml in a terminal"
NAME_WIDTH, KEY_WIDTH = 24, 6
FACTORS = (0.1, 0.3, 0.5, 2.0, 3.0, 10.0)
SHARES = (("+", 0.1), ("+", 0.5), ("+", 1.0), ("-", 0.1), ("-", 0.5))
STEPS = {"smoothing": (0.0, 0.5, 0.9, 0.97, 0.99), "plot_share": (0.01, SHARE, 0.05, 0.1, 0.25)}
"""Offered for the settings that are numbers."""


@dataclass(frozen=True, slots=True)
class Command:
    """Something to do."""

    name: str
    help: str
    do: Callable[[], Any]
    key: str = ""
    """That does the same."""


class Commands(Provider):
    """What can be done now, the pane that is shown first."""

    def __init__(self, screen: Any, match_style: Style | None = None) -> None:
        super().__init__(screen, match_style)
        self._runs: list[str] = []

    async def startup(self) -> None:
        """Get ready before the first word is typed."""
        self._runs = await asyncio.to_thread(run_names)

    async def discover(self) -> Hits:
        # A list in its order: nothing is typed yet, so nothing can be ranked.
        """What is offered before anything is typed."""
        for command in self._commands():
            yield DiscoveryHit(self._line(command), command.do, text=command.name)

    async def search(self, query: str) -> Hits:
        """What fits the words that were typed."""
        matcher = self.matcher(query)
        for command in self._commands():
            score, places = matcher.fuzzy_search.match(query, command.name)
            if score > 0:
                yield Hit(score, self._line(command, places), command.do, text=command.name)

    def _line(self, command: Command, places: Iterable[int] = ()) -> str:
        """Name and help beside each other, twice as many as one below the other."""
        name = Content(command.name)
        for place in places:
            name = name.stylize(self.match_style or "bold", place, place + 1)
        gap = " " * max(1, NAME_WIDTH - len(command.name))
        key = (f"{command.key:<{KEY_WIDTH}}", "not bold $accent")
        line = Content.assemble(name, gap, key, (command.help, "not bold $quiet"))
        return cast(str, line)  # a str would be parsed as markup

    @property
    def _app(self) -> MinitfApp:
        return cast("MinitfApp", self.app)

    def _commands(self) -> Iterator[Command]:
        yield from pane_commands(self._app)
        yield from control_commands(self._app)
        yield from preset_commands(self._app)
        yield from run_commands(self._app, self._runs)
        yield from setting_commands(self._app)


def pane_commands(app: MinitfApp) -> Iterator[Command]:
    """What the keys do: those of the pane that is shown, then those of every place."""
    pane, title = app.pane, app.pane.NAME.capitalize()
    for key in pane.KEYS:
        if pane.can(key.action) and key.group is None and key.action not in ELSEWHERE:
            do = partial(app.action_pane, pane.NAME, key.action)
            name = key_name(key.key.split(",")[0])
            if words := key.description or key.tooltip.split(",")[0]:
                yield Command(f"{title}: {words}", key.tooltip, do, name)
    if pane.HAS_FORM:
        yield Command(f"{title}: settings", "into the settings of the pane", app.action_edit, "i")
    for n, other in enumerate(app.PANES, 1):
        if other is not type(pane):
            go = partial(app.action_show, other.NAME)
            yield Command(f"Go to {other.NAME.capitalize()}", "another pane", go, str(n))
    yield Command("Help", "the keys that do something here", app.action_help, "?")
    yield Command("Quit", "a running job is saved first", app.action_leave, "q")


def control_commands(app: MinitfApp) -> Iterator[Command]:
    """Change a run that is under way by more, or by less, than a key does."""
    pane = app.pane
    if not isinstance(pane, ControllingPane) or not pane.can("halve"):
        return
    for factor in FACTORS:
        do = partial(pane.control, RunCommand(action="lr", value=factor))
        yield Command(f"Train: lr × {factor:g}", "from the next step on", do)
    for sign, share in SHARES:
        words = f"Train: budget {sign}{share:.0%}"
        do = partial(pane.move_budget, sign, share)
        yield Command(words, "a longer run, or a shorter one", do)


def preset_commands(app: MinitfApp) -> Iterator[Command]:
    """Fill the form of the Train pane."""

    async def fill(name: str) -> None:
        await app.action_show("train")
        app.pane.query_one(RunForm).use_preset(name)

    for name, about in ABOUT.items():
        yield Command(f"Train: preset {name}", about, partial(fill, name))


def run_commands(app: MinitfApp, names: list[str]) -> Iterator[Command]:
    """Use a run, go on with a run, take one out; bring one in."""
    for name in names:
        yield Command(f"Use run {name}", "all panes work with it", partial(app.use_run, name))
    for name in names:
        yield Command(
            f"Resume run {name}", "go on with it in the Train pane", partial(app.resume_run, name)
        )
    for name in names:
        yield Command(
            f"Export run {name}",
            "for transformers, llama.cpp, Ollama",
            partial(app.export_run, name),
        )
    yield Command(
        "Duel: these settings",
        "train them and others on the same batches; who is better?",
        partial(app.duel, runs=names),
    )
    yield Command("Sweep", SWEEP, partial(app.notify, SWEEP, markup=False))
    yield Command("Import a model", "make a run of a model from elsewhere", app.import_model)


def setting_commands(app: MinitfApp) -> Iterator[Command]:
    """Every setting, with each value that it can be given."""
    for name in sorted(app.available_themes):
        if name != app.theme:
            yield _setting(app, "theme", name, "colours of the app, also the next time")
    for item in fields(Settings):
        value = getattr(app.settings, item.name)
        choices: tuple[Any, ...] = item.metadata["choices"] or STEPS.get(item.name, ())
        for choice in (not value,) if isinstance(value, bool) else choices:
            if choice != value:
                yield _setting(app, item.name, choice, item.metadata["help"])


def _setting(app: MinitfApp, name: str, value: Any, about: str) -> Command:
    words = f"{name.replace('_', ' ').capitalize()}: {shown(value)}"
    return Command(words, about, partial(app.change_settings, **{name: value}))


def run_names() -> list[str]:
    """Names of the run folders; for a thread."""
    from core.store.run_names import NAME_PATTERN

    try:
        found = [path for path in paths.runs_dir().iterdir() if NAME_PATTERN.fullmatch(path.name)]
        return sorted(path.name for path in found if (path / "run.toml").is_file())
    except OSError:
        return []
