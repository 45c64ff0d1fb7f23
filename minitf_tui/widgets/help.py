"""The keys of a pane on one page, made from the bindings themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.keys import key_to_character
from textual.screen import ModalScreen
from textual.widgets import Static

from minitf_tui.widgets.fields import Choice
from minitf_tui.widgets.form import Form
from minitf_tui.widgets.pane import Pane
from minitf_tui.widgets.run_form import RunForm
from minitf_tui.widgets.sheet import Sheet

KEY_WIDTH = 18
_NAMES = {"up": "↑", "down": "↓", "left": "←", "right": "→", "pageup": "PgUp", "pagedown": "PgDn"}
_NAMES |= {"plus": "+", "minus": "-"}


@dataclass(frozen=True, slots=True)
class Section:
    """Keys that belong together."""

    heading: str
    bindings: tuple[Binding, ...]
    idle: frozenset[str] = frozenset()
    """Keys that would do something, but not now."""


def sections(pane: Pane, anywhere: Iterable[BindingType]) -> list[Section]:
    """Every key that does something in `pane`; those without a word of help are left out."""
    grouped: dict[str, list[Binding]] = {}
    for key in pane.KEYS:
        heading = key.group.description if key.group else pane.NAME.capitalize()
        grouped.setdefault(heading, []).append(key)
    grouped["anywhere"] = [
        key
        for key in _whole(anywhere)
        if not key.action.startswith("pane(") and (pane.HAS_FORM or key.action != "edit")
    ]
    if form := pane.query(Form):
        fields = Choice.BINDINGS if form.first().query(Choice) else []
        grouped["in the settings"] = list(_whole([*Form.BINDINGS, *fields]))
    elif pane.query(RunForm):
        grouped["in the settings"] = list(_whole([*Sheet.BINDINGS, *RunForm.BINDINGS]))
    idle = frozenset(key.key for key in pane.KEYS if not pane.can(key.action))
    return [
        Section(
            heading,
            tuple(key for key in keys if key.tooltip or key.description),
            frozenset() if heading in ("anywhere", "in the settings") else idle,
        )
        for heading, keys in grouped.items()
    ]


class HelpScreen(ModalScreen[None]):
    """Closes with any of the keys that open or close things."""

    DEFAULT_CSS = """
    HelpScreen {
        align: center middle;
        & > VerticalScroll {
            width: 80; max-width: 100%; height: auto; max-height: 100%; padding: 0 2;
            scrollbar-size-vertical: 1;
            background: $surface; border: round $accent; border-title-color: $foreground;
        }
        & Static { height: auto; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,question_mark,q,enter", "close", "Close"),
        ("j,down", "page('down')", "Down"),
        ("k,up", "page('up')", "Up"),
        ("space,pagedown", "page('page_down')", "Page down"),
        ("pageup", "page('page_up')", "Page up"),
        ("home,g", "page('home')", "Start"),
        ("end,G", "page('end')", "End"),
    ]

    def __init__(self, shown: list[Section]) -> None:
        super().__init__()
        self._shown = shown

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        with VerticalScroll(can_focus=False) as box:
            box.border_title = "keys"
            box.border_subtitle = "↑↓ scroll   Escape closes"
            yield Static(page(self._shown))

    def on_click(self) -> None:
        """Answer a click."""
        self.action_close()

    def action_close(self) -> None:
        """Back to the pane."""
        self.dismiss(None)

    def action_page(self, where: str) -> None:
        """To another part of the page."""
        getattr(self.query_one(VerticalScroll), f"scroll_{where}")(animate=False)


def page(shown: Iterable[Section]) -> Content:
    """The keys, in groups; quiet where they would do nothing now."""
    lines = []
    for section in shown:
        lines.append(Content.assemble((section.heading, "$secondary")))
        for keys, what, is_idle in _rows(section):
            style = "$quiet" if is_idle else "bold $accent"
            lines.append(
                Content.assemble(
                    "  ", (f"{keys:<{KEY_WIDTH}}", style), (what, "$quiet" if is_idle else "")
                )
            )
    return Content("\n").join(lines)


def _rows(section: Section) -> Iterator[tuple[str, str, bool]]:
    """`(keys, what they do, not now)`; neighbours that do the same share a row."""
    rows: list[tuple[list[str], str, bool]] = []
    for binding in section.bindings:
        names = [key_name(key) for key in binding.key.split(",")]
        what, is_idle = binding.tooltip or binding.description, binding.key in section.idle
        if rows and rows[-1][1] == what:
            rows[-1][0].extend(names)
        else:
            rows.append((names, what, is_idle))
    for names, what, is_idle in rows:
        keys = " ".join(names)
        yield keys if len(keys) < KEY_WIDTH else f"{names[0]} … {names[-1]}", what, is_idle


def key_name(key: str) -> str:
    """A key as it is printed on the keyboard: `[`, Ctrl+P, PgUp."""
    if key in _NAMES:
        return _NAMES[key]
    character = key_to_character(key)
    if character and character.isprintable() and character != " ":
        return character
    return "+".join(part.capitalize() for part in key.split("+"))


def _whole(bindings: Iterable[BindingType]) -> Iterator[Binding]:
    """As they were written: Textual's own list has one entry for each key."""
    for binding in bindings:
        yield binding if isinstance(binding, Binding) else Binding(*binding)
