"""The terminal side of minitf: the command line and the app."""

from core.version import VERSION as __version__

__all__ = ["__version__"]
