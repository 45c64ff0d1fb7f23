"""Large pages for weights, so that reading all of them for each token misses no address.

A processor knows the places of some 2,000 pages. In pages of 4 KiB that is 8 MiB of weights, less
than a model of any size has; in pages of 2 MiB it is all of it (docs/lab-notes.md has the
figures). Only Linux is asked, and only by a wish: the numbers stay where they are, and without
large pages nothing but time is lost.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable

from torch import Tensor

PAGE_BYTES = 2 << 20
_WISH, _COLLAPSE = 14, 25
"""MADV_HUGEPAGE: may be large when it is made; MADV_COLLAPSE (Linux 6.1): make it large now."""


def want_large_pages(tensors: Iterable[Tensor]) -> int:
    """Move what the tensors lie in to large pages, in place.

    Returns:
        How many pages are large now, those that were before included.
    """
    if sys.platform != "linux":
        return 0
    pages: set[int] = set()
    for tensor in tensors:
        if tensor.device.type == "cpu":
            first, end = tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes
            pages.update(range(first // PAGE_BYTES, -(-end // PAGE_BYTES)))
    try:
        advise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return 0
    return sum(_is_made_large(advise, PAGE_BYTES * page) for page in sorted(pages))


def _is_made_large(advise: ctypes._NamedFuncPointer, address: int) -> bool:
    where, size = ctypes.c_void_p(address), ctypes.c_size_t(PAGE_BYTES)
    return advise(where, size, _WISH) == 0 and advise(where, size, _COLLAPSE) == 0
