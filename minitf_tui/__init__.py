"""The terminal side of minitf: the command line and the app."""

from __future__ import annotations


def __getattr__(name: str) -> str:
    """`__version__`, looked up when it is asked for: `minitf --help` needs nothing of core."""
    if name == "__version__":
        from core.version import VERSION

        return VERSION
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
