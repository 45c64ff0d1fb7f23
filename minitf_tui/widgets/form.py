"""Settings as rows of a form, made from the same fields as the flags of the command line.

What is typed stays text until somebody asks for `values()`; whether the values make sense is
judged where the config is made, not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.events import DescendantBlur, DescendantFocus, Key
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from core.errors import ConfigError
from core.fields import flag_fields
from minitf_tui.widgets.fields import Choice, Field, Moves

_WORDS = {int: "a whole number", float: "a number"}
UNIT_WIDTH = 6
ROOM_FOR_UNIT = 30
"""Cells of a row from which its unit is shown."""
KEYS_HELP = "↑↓ move   Enter start   Esc leave"


@dataclass(frozen=True, slots=True)
class Item:
    """One setting of a form."""

    name: str
    value: Any
    help: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    is_wide: bool = False
    """Takes a whole row, however many columns the form has."""
    items: type | None = None
    """Of a tuple whose parts are typed with commas between them: what they are."""
    suggestions: tuple[str, ...] = ()
    """Parts of such a tuple that may be completed."""

    def parse(self, text: str) -> Any:
        """What was typed, in the type of the setting.

        Raises:
            ConfigError: it cannot be read as that type.
        """
        wanted = type(self.value)
        if self.items:
            part = Item(self.name, self.items(), self.help)
            return tuple(part.parse(piece) for piece in text.split(",") if piece.strip())
        text = text.strip() if wanted is not str or not self.is_wide else text
        if wanted is bool:
            return text == "on"
        if wanted is str:
            return text
        try:
            plain = text.replace(" ", "")
            # 1,000 is a whole number; 0,003 would silently become 3.
            return wanted(plain.replace(",", "") if wanted is int else plain)
        except ValueError:
            raise ConfigError(
                f"{self.name}={text!r} is not {_WORDS[wanted]}.", hint=f"Try {shown(self.value)}."
            ) from None


def shown(value: Any) -> str:
    """A value as it stands in its field."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def items_of(config: Any, names: Iterable[str]) -> list[Item]:
    """Form items for the named fields of a config, with their help and unit."""
    found = {}
    for section, about in flag_fields(config):
        owner = getattr(config, section) if section else config
        value, data = getattr(owner, about.name), about.metadata
        choices = ("on", "off") if isinstance(value, bool) else data["choices"]
        facts = about.name, value, data["help"], data["unit"]
        found[about.name] = Item(*facts, () if data["items"] else choices, items=data["items"])
    return [found[name] for name in names]


class Row(Widget):
    """Name, field and unit of one setting; name and unit are its own, the field lies on top."""

    def __init__(self, item: Item, moves: Moves) -> None:
        super().__init__(id=f"row-{item.name}", classes="-wide" if item.is_wide else "")
        self.item = item
        self._moves = moves

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        value = shown(self.item.value)
        if self.item.choices:
            yield Choice(value, self.item.choices, self._moves)
        else:
            yield Field(value, self._moves, self.item.suggestions)

    def render(self) -> Content:
        """What is painted."""
        name, width = self.item.name, self.size.width
        has_room = width >= ROOM_FOR_UNIT and not self.item.is_wide
        unit = self.item.unit.ljust(UNIT_WIDTH) if has_room else ""
        gap = " " * max(0, width - len(name) - len(unit))
        return Content.assemble(name, gap, (unit, "$quiet"))

    @property
    def field(self) -> Field | Choice:
        """The widget that holds the value."""
        return self.query_one("Field, Choice")  # type: ignore[return-value]


class Form(Container):
    """Rows of settings, and one line that explains the row being edited or what is wrong."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False, tooltip="to the setting above or below"),
        Binding("down", "move(1)", show=False, tooltip="to the setting above or below"),
        Binding("escape", "leave", "leave", key_display="Esc", tooltip="out of the settings"),
    ]

    class Changed(Message):
        """A value is different; the form says which names."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    class Submitted(Message):
        """Enter was pressed in a field."""

    def __init__(self, items: Sequence[Item], *, columns: int = 1, id: str | None = None) -> None:
        super().__init__(id=id, classes=f"-columns-{columns}")
        self.items = tuple(items)
        self._moves = Moves()
        self._problem = ""
        self._summary = ""

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        with Container(classes="rows"):
            for item in self.items:
                yield Row(item, self._moves)
        yield Static("", id="help", markup=False)

    def on_mount(self) -> None:
        """What can be done only once it is on the screen."""
        self._explain()

    def texts(self) -> dict[str, str]:
        """What stands in the fields."""
        return {row.item.name: row.field.value for row in self.query(Row)}

    def values(self) -> dict[str, Any]:
        """What stands in the fields, each in its own type.

        Raises:
            ConfigError: a number cannot be read.
        """
        return {row.item.name: row.item.parse(row.field.value) for row in self.query(Row)}

    def fill(self, values: dict[str, Any]) -> None:
        """Write values into the fields of those names."""
        for row in self.query(Row):
            if row.item.name in values:
                row.field.write(shown(values[row.item.name]))

    def edit(self) -> None:
        """Go into the first field."""
        self.query(Row).first().field.focus()

    def take(self, key: Key) -> None:
        """A letter that was typed while no field was there yet; it goes to the one that is."""
        self._moves.keep(key, self)

    def complain(self, problem: str) -> None:
        """Say what is wrong with the values; empty when nothing is."""
        self._problem = problem
        self._explain()

    def summarise(self, summary: str) -> None:
        """What the values amount to, shown while nobody edits."""
        self._summary = summary
        self._explain()

    def action_move(self, by: int) -> None:
        """To the field above or below."""
        rows = [row for row in self.query(Row) if row.display]
        here = next((i for i, row in enumerate(rows) if row.field is self.screen.focused), 0)
        self._moves.go(rows[(here + by) % len(rows)].field)

    def action_leave(self) -> None:
        """Out of the fields."""
        self.screen.set_focus(None)

    @on(DescendantFocus)
    @on(DescendantBlur)
    def _focus_moved(self) -> None:
        if self.screen.focused is None:
            self._moves.forget()
        self._explain()

    @on(Input.Changed)
    @on(Choice.Changed)
    def _value_changed(self, event: Input.Changed | Choice.Changed) -> None:
        event.stop()
        sender = event.input if isinstance(event, Input.Changed) else event.choice
        if isinstance(sender.parent, Row):
            self.post_message(self.Changed(sender.parent.item.name))

    @on(Input.Submitted)
    @on(Choice.Submitted)
    def _value_submitted(self, event: Message) -> None:
        event.stop()
        self.action_leave()
        self.post_message(self.Submitted())

    def _explain(self) -> None:
        rows = [row for row in self.query(Row) if row.field.has_focus]
        line = self.query_one("#help", Static)
        line.set_class(bool(self._problem), "-problem")
        if self._problem:
            line.update(self._problem)
        elif rows:
            item = rows[0].item
            unit = f", in {item.unit}" if item.unit else ""
            line.update(Content.assemble((f"{item.help}{unit}\n", "$foreground"), KEYS_HELP))
        else:
            line.update(self._summary)
        line.display = bool(self._problem or rows or self._summary)
