"""The keys that act in every pane, and how those of the panes are bound beside them.

A `Binding` is the only definition of a key: its description stands in the footer, its tooltip in
the help and in the command palette.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from textual.binding import Binding

from minitf_tui.widgets.pane import Pane

NEIGHBOURS = "go to the pane on the left or right"
ANYWHERE = (
    Binding("left_square_bracket", "turn(-1)", show=False, tooltip=NEIGHBOURS),
    Binding("right_square_bracket", "turn(1)", show=False, tooltip=NEIGHBOURS),
    Binding(
        "i,enter", "edit", "settings", key_display="i", tooltip="into the settings of the pane"
    ),
    Binding("t", "toggle_theme", "theme", tooltip="dark or light; Ctrl+P has more themes"),
    Binding(
        "ctrl+p,colon",
        "command_palette",
        show=False,
        tooltip="command palette: everything, by its name",
    ),
    Binding("question_mark", "help", "help", key_display="?", tooltip="this page"),
    Binding("escape", "hide_notice", show=False),
    Binding("ctrl+c", "help_quit", show=False, tooltip="copy selected text; it does not quit"),
    Binding("q", "leave", "quit", tooltip="quit; a running job is saved first"),
    Binding("ctrl+q", "leave", show=False, priority=True),
)


def bindings(panes: Sequence[type[Pane]]) -> Iterator[Binding]:
    """Those of the panes, each for its own pane; one to go to each; those of every place."""
    for pane in panes:
        for key in pane.KEYS:
            yield replace(key, action=f"pane('{pane.NAME}', '{key.action}')")
    names = ", ".join(pane.NAME.capitalize() for pane in panes)
    for n, pane in enumerate(panes, 1):
        yield Binding(str(n), f"show('{pane.NAME}')", show=False, tooltip=f"go to {names}")
    yield from ANYWHERE
