"""The terminal side of minitf: the command line and the app."""

from core.version import VERSION

__version__ = VERSION
