"""What decodes: sequences held by a model, with their keys and values.

Shape suffixes: B sequences · T new tokens · V vocab_size.

Invariant: after the same tokens, in whatever portions they came, every engine with an exact
cache gives the same logits up to rounding; `TorchEngine` is the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from core.errors import ConfigError


class Engine(Protocol):
    """Sequences of the same length: one at first, as many as `select` says later."""

    name: str
    """"torch", "fast" or "graph"."""
    cache: str
    """The kind of cache: "static", "none", "window", "sinks" or "int8"."""
    max_seq_len: int
    """Positions that fit; who has more tokens rewinds to 0 and feeds the newest ones."""
    note: str
    """Why it is not the engine that was wished for; empty if it is."""

    @property
    def length(self) -> int:
        """Positions held, the same for all sequences; the next token's position."""
        ...

    @property
    def cache_bytes(self) -> int:
        """Bytes of the keys and values held now, without room for later ones."""
        ...

    def feed(self, ids_BT: Sequence[Sequence[int]]) -> Tensor:
        """Append tokens, one or more, as many to each sequence.

        Returns:
            Logits of the next ones, float32, shape (B, V).

        Raises:
            ConfigError: they do not fit into `max_seq_len`.
        """
        ...

    def write(self, token: int, n: int) -> list[int]:
        """Feed `token`, and then greedily n - 1 of the n tokens that are returned: all but the
        last one, which is the reader's to feed. For one sequence. Of equal logits the lowest
        id is chosen.

        Raises:
            ConfigError: they do not fit into `max_seq_len`.
        """
        ...

    def rewind(self, length: int) -> None:
        """Forget all positions from `length` on, at most `self.length`.

        A cache that has let go of what position `length` looks at forgets everything: ask
        `length`, and feed what is missing.
        """
        ...

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these sequences, in this order; one may be taken more than once."""
        ...


def check_fits(end: int, max_seq_len: int) -> None:
    """Refuse more positions than a model has, in the words of the model itself.

    Raises:
        ConfigError: with both numbers.
    """
    if end > max_seq_len:
        raise ConfigError(
            f"{end} tokens do not fit into max_seq_len={max_seq_len}.",
            hint="Shorten the text, or train with a larger max_seq_len.",
        )
