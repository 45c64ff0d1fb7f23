"""Models of the Hugging Face hub, fetched."""

from __future__ import annotations

from pathlib import Path

from core.store.stages import IsStopping, Telling

HUB = "hub:"


def fetch(name: str, is_stopping: IsStopping) -> Telling[Path]:
    """Download what belongs to a model, or take it from the hub's own cache.

    Args:
        name: OWNER/NAME.

    Raises:
        FormatError: there is no such model, or no way to the hub.
    """
    raise NotImplementedError
    yield
