"""Vectors for the pairs and the triples of tokens that end at a position, found by hash.

What a short sequence means need not be worked out by attention then: it is looked up. There are
more sequences than vectors, and those with the same hash share one.

Shape suffixes: B batch · T positions · S a few more, those before them · N 2, a pair and a
triple · L 3, the tokens of a triple · D d_model.

Invariant: a vector depends on the tokens of its own pair or triple alone; what stands before the
beginning is a token of its own, `NONE`. Tables begin at zero, so a fresh model is the one without.

Sources: hashed pairs, github.com/KellerJordan/modded-nanogpt; pairs and triples as a vocabulary of
their own, arXiv:2501.16975; vectors shared by hash, arXiv:0902.2206; a sum of products modulo a
prime, doi:10.1016/0022-0000(79)90044-8.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.config import ModelConfig

NONE = -1
"""In the place of a token before the beginning."""
N_EARLIER = 2
"""Tokens before a position that its vectors depend on."""
PRIME, SHIFT = 2**31 - 1, 15
FACTORS = ((0, 1_266_172_517, 722_310_143), (1_981_360_891, 415_270_769, 1_634_929_057))
"""For each token of a pair and of a triple, drawn once; below `PRIME`, so that for token ids
below 2**30 no sum leaves int64."""


class NgramEmbedding(nn.Module):
    """A table for pairs, and one for triples."""

    factors_NL: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.pairs = nn.Embedding(config.ngram_buckets, config.d_model)
        self.triples = nn.Embedding(config.ngram_buckets, config.d_model)
        self.register_buffer("factors_NL", torch.tensor(FACTORS), persistent=False)

    def forward(self, ids_BS: Tensor) -> Tensor:
        """The vectors of the last T = S - `N_EARLIER` positions, shape (B, T, D)."""
        pairs_BT, triples_BT = self.buckets(ids_BS).unbind(-1)
        found: Tensor = self.pairs(pairs_BT) + self.triples(triples_BT)
        return found

    def buckets(self, ids_BS: Tensor) -> Tensor:
        """Rows of the two tables, int64, shape (B, T, N). The shift undoes what is regular in
        sums: without it, pairs that collide would do so in all triples that they end."""
        ids_BTL = ids_BS.unfold(1, N_EARLIER + 1, 1) + 1
        mixed_BTN = (ids_BTL[:, :, None] * self.factors_NL).sum(-1) % PRIME
        return (mixed_BTN ^ (mixed_BTN >> SHIFT)) % self.pairs.num_embeddings


def from_beginning(ids_BT: Tensor) -> Tensor:
    """With `NONE` before them, shape (B, S)."""
    return F.pad(ids_BT, (N_EARLIER, 0), value=NONE)


class HeldIds:
    """The tokens of all positions of a cache, so that the next ones know what is before them."""

    def __init__(self, n_rows: int, n_places: int, device: torch.device | str) -> None:
        self.n_places = n_places
        shape = (n_rows, N_EARLIER + n_places)
        self.ids_BS = torch.full(shape, NONE, dtype=torch.int64, device=device)

    def extend(self, ids_BT: Tensor, start: int) -> Tensor:
        """Put tokens at the positions from `start` on.

        Returns:
            They, and those before them, shape (B, S); a view.
        """
        end = N_EARLIER + start + ids_BT.size(1)
        self.ids_BS[:, end - ids_BT.size(1) : end] = ids_BT
        return self.ids_BS[:, start:end]

    def step(self, ids_B1: Tensor, position_1: Tensor) -> Tensor:
        """As `extend` of one token, at a position that the device alone knows; a copy."""
        self.ids_BS.index_copy_(1, position_1 + N_EARLIER, ids_B1)
        seen = position_1 + torch.arange(N_EARLIER + 1, device=position_1.device)
        return self.ids_BS.index_select(1, seen)

    def select(self, rows: list[int]) -> None:
        """Keep these rows, in this order; one may be taken more than once."""
        self.ids_BS = self.ids_BS[rows]

    def n_bytes(self, length: int) -> int:
        """Of the first `length` positions."""
        return self.ids_BS[:, :length].nbytes
