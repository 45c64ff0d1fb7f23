"""Settings in sections that fold: their texts, and which lines of them are seen. No screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minitf_tui.widgets.form import Item, shown
from minitf_tui.widgets.lines import Heading, Line


@dataclass(frozen=True, slots=True)
class Section:
    """Settings under a heading; those in `rest` show when it is unfolded."""

    heading: str
    """Empty for settings that always show, under no heading."""
    at_hand: tuple[Item, ...]
    rest: tuple[Item, ...] = ()

    @property
    def items(self) -> tuple[Item, ...]:
        """All of them."""
        return self.at_hand + self.rest


class Outline:
    """The lines of some sections, and a cursor on one of them."""

    def __init__(self, sections: Sequence[Section]) -> None:
        self.sections = tuple(sections)
        self.items = {item.name: item for part in self.sections for item in part.items}
        self.texts = {name: shown(item.value) for name, item in self.items.items()}
        """What stands in the fields."""
        self.bases = dict(self.texts)
        """What would stand there unchanged."""
        self.lines: tuple[Line, ...] = ()
        self.cursor = 0
        self._unfolded: set[str] = set()
        self._sought = ""
        self._line_up()

    @property
    def here(self) -> Line | None:
        """The line under the cursor; None when nothing was found."""
        return self.lines[self.cursor] if self.cursor < len(self.lines) else None

    @property
    def changed(self) -> set[str]:
        """Names of the settings that are not as they were given."""
        return {name for name, text in self.texts.items() if text != self.bases[name]}

    def fill(self, values: Mapping[str, Any], *, as_base: bool = False) -> set[str]:
        """Write values into their fields; `as_base` makes them the unchanged ones.

        Returns:
            The names that there are.
        """
        texts = {name: shown(value) for name, value in values.items() if name in self.texts}
        self.texts.update(texts)
        if as_base:
            self.bases.update(texts)
        return set(texts)

    def go_to(self, name: str) -> None:
        """Put the cursor on the line of that name, if it is seen."""
        names = [line.name for line in self.lines]
        if name in names:
            self.cursor = names.index(name)

    def move(self, by: int) -> None:
        """Put the cursor on another line; a single step goes round at the ends."""
        n = len(self.lines)
        if n:
            to = self.cursor + by
            self.cursor = to % n if abs(by) == 1 else min(max(to, 0), n - 1)

    def choice(self, by: int) -> str | None:
        """The word that many places from the one under the cursor; None where none is chosen."""
        line = self.here
        if not isinstance(line, Item) or not line.choices:
            return None
        text = self.texts[line.name]
        at = line.choices.index(text) if text in line.choices else -by
        return line.choices[(at + by) % len(line.choices)]

    def choice_with(self, letter: str) -> str | None:
        """The next word that begins with the letter."""
        line = self.here
        words = line.choices if isinstance(line, Item) else ()
        start = [word for word in words if word.startswith(letter.lower())]
        if not line or not start:
            return None
        text = self.texts[line.name]
        return start[(start.index(text) + 1) % len(start) if text in start else 0]

    def fold(self, heading: str) -> None:
        """Show the rest of a section, or hide it."""
        self._unfolded ^= {heading}
        self._line_up()
        self.go_to(heading)

    def seek(self, words: str) -> None:
        """Show only what has the words in its name, or else in its help; all without words."""
        name = self.here.name if self.here else ""
        self._sought = words.strip().casefold()
        self._line_up()
        self.cursor = next((i for i, line in enumerate(self.lines) if isinstance(line, Item)), 0)
        if not self._sought:
            self.go_to(name)

    def names_here(self) -> list[str]:
        """What resetting is about: this setting, or this section; under no heading, all."""
        line = self.here
        for part in self.sections:
            if line in part.items and line:
                return [line.name] if part.heading else list(self.items)
            if line and part.heading == line.name:
                return [item.name for item in part.items]
        return []

    def _line_up(self) -> None:
        lines: list[Line] = []
        found = self._found()
        for part in self.sections:
            is_open = part.heading in self._unfolded
            items = part.items if is_open or self._sought else part.at_hand
            items = tuple(item for item in items if item.name in found)
            if part.heading and (items or not self._sought):
                hidden = () if self._sought or is_open else part.rest
                names = frozenset(item.name for item in hidden)
                lines.append(Heading(part.heading, names, is_open and not self._sought))
            lines += items
        self.lines = tuple(lines)

    def _found(self) -> set[str]:
        words = self._sought
        by_name = {name for name in self.items if words in name.casefold()}
        return by_name or {n for n, item in self.items.items() if words in item.help.casefold()}
