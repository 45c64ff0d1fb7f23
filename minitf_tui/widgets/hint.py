"""What an empty pane says: what it is for, and which key comes next."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static


class Hint(Static):
    """A sentence and a few keys, in the middle of the room there is."""

    DEFAULT_CSS = """
    Hint { width: 1fr; height: 1fr; content-align: center middle; color: $quiet; padding: 0 2; }
    """

    def __init__(self, sentence: str, *keys: tuple[str, str], id: str | None = None) -> None:
        room = max((len(what) for _, what in keys), default=0)
        lines = [
            Content.assemble((key, "bold $accent"), "   ", what.ljust(room)) for key, what in keys
        ]
        super().__init__(
            Content("\n").join([Content.assemble((sentence, "$foreground")), Content(""), *lines]),
            id=id,
        )
