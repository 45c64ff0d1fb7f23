"""Who may look at whom.

Shape suffixes: T new positions · S positions looked at.

Invariant: no mask lets a position see a later one.

Sources: causal, arXiv:1706.03762 §3.2.3; sliding window, arXiv:2004.05150 §3.1; first positions
that stay in sight ("attention sinks"), arXiv:2309.17453 §3.2, here with the positions of the text
and not, as there, those within the cache.
"""

from __future__ import annotations

import torch
from torch import Tensor


def causal_mask(n_new: int, n_all: int, device: torch.device) -> Tensor:
    """Boolean (T, S) mask, True where the i-th new position may look."""
    seen_by_first = n_all - n_new
    return torch.ones(n_new, n_all, dtype=torch.bool, device=device).tril(seen_by_first)


def windowed_mask(queries_T: Tensor, keys_S: Tensor, *, window: int, sinks: int = 0) -> Tensor:
    """Boolean (T, S) mask of positions in any order, True where a query may look: at the
    newest `window` positions, its own included, and at the first `sinks`."""
    query_T1, key_1S = queries_T[:, None], keys_S[None, :]
    return (key_1S <= query_T1) & ((key_1S > query_T1 - window) | (key_1S < sinks))
