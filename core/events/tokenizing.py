"""What the cutting of a text into tokens tells."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownToken:
    """One token of a text."""

    id: int
    text: str
    """Bytes that are no whole character are spelt out: "\\xe6". Not safe for a terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenization:
    """A text, cut into tokens. Same fields as `minitf tokenize --json`."""

    tokenizer: str
    """"bpe", "byte" or "char"."""
    vocab_size: int
    of: str
    """Whose tokenizer it is: a run or a corpus."""
    text: str
    """What was cut: "prompt", or the full name of a corpus."""
    characters: int
    bytes: int
    """In UTF-8."""
    tokens: int
    distinct_tokens: int
    bytes_per_token: float
    shown: tuple[ShownToken, ...]
    """The first ones, as many as were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizationCompleted:
    """The last event of a tokenization."""

    result: Tokenization
