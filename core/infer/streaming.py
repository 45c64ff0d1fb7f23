"""From the bytes of tokens to text that can be shown, up to a stop string.

Invariant: what comes out does not depend on how the bytes were cut into tokens. It is the
decoded whole up to the start of the stop string that is complete first (of two that end
together, the longer one). Bytes wait until their character is whole, characters as long as
they could be the beginning of a stop string.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class StreamedText:
    """The text of one continuation."""

    def __init__(self, stops: Sequence[str] = (), *, before: bytes = b"") -> None:
        """`before` is what the continuation follows; it may end inside a character."""
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._utf8.decode(before)
        self._stops = tuple(stops)
        self._held = ""
        self.stop_string = ""
        """The one that ended the text."""

    def add(self, data: bytes, *, is_last: bool = False) -> str:
        """What can be shown now; with the last bytes, all that was held back too."""
        text = self._held + self._utf8.decode(data, final=is_last)
        if not self._stops:
            return text
        start = self._first_stop(text)
        if start is not None:
            self._held = ""
            return text[:start]
        n_shown = len(text) if is_last else len(text) - self._n_waiting(text)
        self._held = text[n_shown:]
        return text[:n_shown]

    def _first_stop(self, text: str) -> int | None:
        found = [(text.find(stop), stop) for stop in self._stops if stop in text]
        if not found:
            return None
        start, self.stop_string = min(found, key=lambda at: (at[0] + len(at[1]), at[0]))
        return start

    def _n_waiting(self, text: str) -> int:
        """Length of the longest end of `text` that a stop string begins with."""
        longest = max(map(len, self._stops)) - 1
        for n in range(min(longest, len(text)), 0, -1):
            if any(len(stop) > n and stop.startswith(text[-n:]) for stop in self._stops):
                return n
        return 0
