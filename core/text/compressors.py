"""What general compressors make of a text: bits, of which each is worth ln 2 nats.

A compressor that has packed the text before is charged for what the held-out text adds: the size
of both together less the size of the first. So it knows as much of the training text as its window
holds. The window of bz2 is a block of 900,000 bytes; xz is given the same text, no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module

WINDOW_BYTES = 880_000
"""Of both together; bz2 would begin a new block at 900,000, which knows nothing of the first."""
HELD_OUT_BYTES = WINDOW_BYTES // 3
"""No more of it is packed, so that most of the window stays for what was before."""

_MODULES = {"bz2": "bz2", "xz": "lzma"}


def compressors() -> Iterator[tuple[str, Callable[[bytes], bytes]]]:
    """Name and function of those that this Python was built with, as they are usually set."""
    for name, module in _MODULES.items():
        try:
            found = import_module(module)
        except ImportError:
            continue
        yield name, found.compress


def added_bits(compress: Callable[[bytes], bytes], before: bytes, text: bytes) -> int:
    """Of `text`, when `before` is known as far as the window holds it."""
    known = before[max(0, len(before) + len(text) - WINDOW_BYTES) :]
    return 8 * (len(compress(known + text)) - len(compress(known)))
