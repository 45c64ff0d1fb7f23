"""Many settings in sections that fold, painted by one widget and edited by another.

A text field a setting would be fifty widgets, which take long to mount and slow down each key.
Here the lines are one painting, and a single field moves to the line that is being edited.
What the texts mean is judged by whoever owns the sheet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Click, DescendantBlur, DescendantFocus, Key, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from minitf_tui.widgets.form import Item
from minitf_tui.widgets.lines import Heading, field_of, painted
from minitf_tui.widgets.outline import Outline, Section

PAGE = 10
_MOVE = "to the next or the last setting"
_LEAP = "ten settings at once"
_TURN = "another choice; fold or unfold a section"
_RESET = "as the preset has it; on a heading the whole section"


class Lines(Widget, can_focus=True):
    """The painting; it has the focus while the line is a choice or a heading."""

    DEFAULT_CSS = "Lines { width: 1fr; height: auto; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "turn", "Next", show=False)]

    @property
    def sheet(self) -> Sheet:
        """Whose lines these are."""
        return self.query_ancestor(Sheet)

    def render(self) -> Content:
        """What is painted."""
        return self.sheet.painting(self.size.width)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Rows it needs at that width."""
        return len(self.sheet.outline.lines)

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Printable keys are typed here, not bound."""
        return character is not None and character.isprintable()

    def action_turn(self) -> None:
        """The same as right; here, because nobody above is asked about a printable key."""
        self.sheet.action_turn(1)

    def on_focus(self) -> None:
        """Show where the keys go."""
        self.sheet.place()

    def on_key(self, event: Key) -> None:
        """Keys that are no bindings."""
        if event.character is not None and event.is_printable and event.key != "space":
            event.stop()
            self.sheet.type(event.character)

    def on_click(self, event: Click) -> None:
        """Answer a click."""
        self.sheet.point(event.y)


class Sheet(VerticalScroll, can_focus=False):
    """Sections of settings with a cursor."""

    DEFAULT_CSS = """
    Sheet {
        width: 1fr; height: 1fr; scrollbar-size-vertical: 1; scrollbar-gutter: stable;
        & > Input { position: absolute; display: none; height: 1; background: $surface; }
        & > Input:focus { background-tint: $foreground 6%; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,tab", "move(1)", "move", key_display="↑↓", tooltip=_MOVE),
        Binding("up,shift+tab", "move(-1)", show=False, tooltip=_MOVE),
        Binding("pageup", f"move(-{PAGE})", show=False, tooltip=_LEAP),
        Binding("pagedown", f"move({PAGE})", show=False, tooltip=_LEAP),
        Binding("left", "turn(-1)", show=False, tooltip=_TURN),
        Binding("right", "turn(1)", show=False, tooltip=_TURN),
        Binding(
            "enter", "enter", "start", key_display="Enter", tooltip="start; unfold on a heading"
        ),
        Binding("ctrl+r", "reset", "reset", key_display="^R", tooltip=_RESET),
    ]

    class Changed(Message):
        """A value is different."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    class Moved(Message):
        """The cursor, or the focus, is elsewhere."""

    class Submitted(Message):
        """Enter was pressed on a setting."""

    class Sought(Message):
        """A letter was typed on a heading: somebody looks for a setting."""

        def __init__(self, letter: str) -> None:
            super().__init__()
            self.letter = letter

    def __init__(self, sections: Sequence[Section]) -> None:
        super().__init__()
        self.outline = Outline(sections)
        self._is_sought = False
        self._painting = Lines()
        self._editor = Input(compact=True, select_on_focus=False)

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self._painting
        yield self._editor

    # What its owner asks.

    @property
    def current(self) -> Item | None:
        """The setting under the cursor while somebody edits."""
        line = self.outline.here
        return line if isinstance(line, Item) and self.is_edited else None

    @property
    def is_edited(self) -> bool:
        """True while the focus is inside."""
        return self._painting.has_focus or self._editor.has_focus

    def fill(self, values: Mapping[str, Any], *, as_base: bool = False) -> None:
        """Write values into their fields, silently; `as_base` makes them the unchanged ones."""
        names = self.outline.fill(values, as_base=as_base)
        if self.current and self.current.name in names:
            self.place()
        self._painting.refresh()

    def edit(self, name: str = "") -> None:
        """Into the field of that name, or the one where somebody was last."""
        self._is_sought = False
        self.outline.go_to(name)
        if self.outline.here:
            self._painting.focus(scroll_visible=False)
            self.place()

    def seek(self, words: str) -> None:
        """Show only settings with those words."""
        self.outline.seek(words)
        self._painting.refresh(layout=True)
        self.scroll_home(animate=False)

    def painting(self, width: int) -> Content:
        """All lines."""
        outline, changed = self.outline, self.outline.changed
        here = outline.cursor if self.is_edited else -1
        return Content("\n").join(
            painted(line, outline.texts.get(line.name, ""), width, changed, is_here=i == here)
            for i, line in enumerate(outline.lines)
        )

    # Keys and mouse.

    def action_move(self, by: int) -> None:
        """To another line."""
        self.outline.move(by)
        self.place()

    def action_turn(self, by: int) -> None:
        """Go round the choices, or fold and unfold a section."""
        if isinstance(self.outline.here, Heading):
            self._fold(self.outline.here)
        else:
            self._choose(self.outline.choice(by))

    def action_enter(self) -> None:
        """Unfold a section; on a setting, be done."""
        if isinstance(self.outline.here, Heading):
            self._fold(self.outline.here)
        else:
            self.post_message(self.Submitted())

    def action_reset(self) -> None:
        """Take back what was changed in this line or section; under no heading, everywhere."""
        for name in self.outline.names_here():
            self._write(name, self.outline.bases[name])
        self.place()

    def point(self, y: int) -> None:
        """A click on a line."""
        if y >= len(self.outline.lines):
            return
        was_here, self.outline.cursor = self.outline.cursor == y, y
        self.place()
        if was_here or isinstance(self.outline.here, Heading):
            self.action_turn(1)

    def type(self, character: str) -> None:
        """A letter on a choice takes the next word that begins so; on a heading it seeks."""
        if self._is_sought or isinstance(self.outline.here, Heading):
            # Letters may come faster than the focus moves to where they belong.
            if self._is_sought or character.isalpha():
                self._is_sought = True
                self.post_message(self.Sought(character))
        else:
            self._choose(self.outline.choice_with(character))

    def place(self) -> None:
        """Put the field, or the focus, on the line of the cursor."""
        line = self.outline.here
        if line is None:
            return
        if isinstance(line, Item) and not line.choices:
            text = self.outline.texts[line.name]
            with self._editor.prevent(Input.Changed):
                self._editor.value = text
            self._editor.cursor_position = len(text)
            self._lay_field(line)
            self._editor.display = True
            self._editor.focus(scroll_visible=False)
        else:
            self._painting.focus(scroll_visible=False)
            self._editor.display = False
        self.scroll_to_region(Region(0, self.outline.cursor, 1, 1), animate=False)
        self._painting.refresh()
        self.post_message(self.Moved())

    # What follows.

    def on_resize(self, _event: Resize) -> None:
        """Fit what is shown to the new size."""
        if self.current is not None and not self.current.choices:
            self._lay_field(self.current)

    @on(DescendantFocus)
    @on(DescendantBlur)
    def _focus_moved(self) -> None:
        if not self.is_edited:
            self._editor.display = False
        self._painting.refresh()
        self.post_message(self.Moved())

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if self.current is not None:
            self._write(self.current.name, event.value)

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Submitted())

    def _lay_field(self, item: Item) -> None:
        x, width = field_of(item, self._painting.size.width)
        self._editor.styles.offset = (x, self.outline.cursor)
        self._editor.styles.width = width

    def _choose(self, word: str | None) -> None:
        if word is not None and self.outline.here:
            self._write(self.outline.here.name, word)

    def _write(self, name: str, text: str) -> None:
        if self.outline.texts[name] != text:
            self.outline.texts[name] = text
            self._painting.refresh()
            self.post_message(self.Changed(name))

    def _fold(self, heading: Heading) -> None:
        self.outline.fold(heading.name)
        self._painting.refresh(layout=True)
        self.place()
