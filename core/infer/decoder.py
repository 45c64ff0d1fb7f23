"""Feeding tokens to an engine one after another, whatever its kind and its cache.

Shape suffixes: B rows of the batch · T new positions · V vocab_size.

Invariant: after the same tokens, in whatever portions they came, and whatever was rewound
between them, the model has looked at the same window. When its context is full, the last half
of it is kept and read again.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from core.infer.engines.engine import Engine


class Decoder:
    """Sequences that grow together: one at first, as many as `select` says later."""

    def __init__(self, engine: Engine) -> None:
        """`engine` holds nothing yet, and from now on is fed by nobody else."""
        self.engine = engine
        self.max_seq_len = engine.max_seq_len
        self._rows: list[list[int]] = [[]]
        self._start = 0

    @property
    def rows(self) -> Sequence[Sequence[int]]:
        """The tokens fed so far, of each sequence."""
        return self._rows

    @property
    def length(self) -> int:
        """Tokens fed so far, the same for all sequences."""
        return len(self._rows[0])

    @property
    def window(self) -> int:
        """Positions that the model looked at for the newest logits."""
        return self.length - self._start

    @property
    def cache_bytes(self) -> int:
        """Bytes of keys and values held now."""
        return self.engine.cache_bytes

    def feed(self, ids: Sequence[int]) -> Tensor:
        """Append tokens, one or more, to the only sequence.

        Returns:
            Logits of the next one, float32, shape (V,).
        """
        return self.feed_rows([ids])[0]

    def feed_rows(self, ids_BT: Sequence[Sequence[int]]) -> Tensor:
        """Append tokens, one or more, as many to each sequence.

        Returns:
            Logits of the next ones, float32, shape (B, V).
        """
        for row, ids in zip(self._rows, ids_BT, strict=True):
            row.extend(ids)
        self._move_window()
        held = self._start + self.engine.length
        return self.engine.feed([row[held:] for row in self._rows])

    def write(self, token: int, n: int) -> list[int]:
        """Append `token`, and then greedily n - 1 of the n tokens that are returned: all but
        the last one. For the only sequence."""
        written: list[int] = []
        while len(written) < n:
            room = self.max_seq_len - self.window
            is_held = self.engine.length == self.window
            if room > 0 and is_held:
                part = self.engine.write(token, min(room, n - len(written)))
                self._rows[0] += [token, *part[:-1]]
            else:
                part = [int(self.feed([token]).argmax())]
            written += part
            token = part[-1]
        return written

    def go_back_to(self, ids: Sequence[int]) -> int:
        """Keep, as the only sequence, the beginning that `ids` shares with one of those fed so far;
        not all of `ids`, for the last token is fed again for its logits.

        Returns:
            How many tokens are kept; the others are to be fed.
        """
        shared = [_n_shared(row, ids) for row in self._rows]
        best = max(range(len(shared)), key=shared.__getitem__)
        if len(shared) > 1:
            self.select([best])
        self.rewind(max(0, min(shared[best], len(ids) - 1)))
        return self.length

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these sequences, in this order; one may be taken more than once."""
        self._rows = [list(self._rows[row]) for row in rows]
        self.engine.select(rows)

    def rewind(self, length: int) -> None:
        """Forget all tokens from `length` on, at most `self.length`."""
        for row in self._rows:
            del row[length:]
        self._move_window()
        self.engine.rewind(min(self.engine.length, self.window))

    def _move_window(self) -> None:
        """To where the tokens want it; what another window holds is of no use in this one."""
        start = window_start(self.length, self.max_seq_len)
        if start != self._start:
            self._start = start
            self.engine.rewind(0)


def window_start(n_tokens: int, max_seq_len: int) -> int:
    """First token of the window that a sequence of `n_tokens` is seen through.

    The window grows to `max_seq_len`; the token that does not fit any more makes it start
    anew with the last half.
    """
    if n_tokens <= max_seq_len:
        return 0
    kept = max(1, max_seq_len // 2)
    period = max_seq_len + 1 - kept
    return ((n_tokens - max_seq_len - 1) // period + 1) * period


def _n_shared(left: Sequence[int], right: Sequence[int]) -> int:
    """Length of the beginning that both have."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((i for i, (one, other) in pairs if one != other), min(len(left), len(right)))
