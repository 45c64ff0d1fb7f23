"""What a person asks of a run that is under way.

A wish is a flag that the loop looks at between two steps. Setting it takes no lock, so it
may be done from any thread and from a signal handler.
"""

from __future__ import annotations


class Wishes:
    """To stop, and to save."""

    def __init__(self) -> None:
        self._is_stopping = False
        self._wants_save = False

    def stop(self) -> None:
        """End soon, in good order."""
        self._is_stopping = True

    def save(self) -> None:
        """Keep a checkpoint at the next step boundary."""
        self._wants_save = True

    def is_stopping(self) -> bool:
        """Whether the run is to end; that wish stays."""
        return self._is_stopping

    def take_save(self) -> bool:
        """Whether a checkpoint is wanted; asking grants the wish, so do save then."""
        if not self._wants_save:
            return False
        self._wants_save = False
        return True
