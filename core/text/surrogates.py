"""Lone surrogates, which are half a character and no text: found before a tokenizer meets them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from core.errors import TokenizerError


def checked(pieces: Iterable[str], place: int = 0) -> Iterator[str]:
    """`pieces`, which begin at `place` of a text.

    Raises:
        TokenizerError: there is a lone surrogate in it.
    """
    for piece in pieces:
        try:
            piece.encode()
        except UnicodeEncodeError as error:
            raise not_unicode(piece, error, place) from error
        yield piece
        place += len(piece)


def not_unicode(text: str, error: UnicodeEncodeError, place: int) -> TokenizerError:
    """That `text`, which begins at `place` of a whole one, could not be encoded."""
    at = error.start
    return TokenizerError(
        f"The text holds a lone surrogate, U+{ord(text[at]):04X} at {place + at}.",
        hint="Give the text as UTF-8 bytes.",
    )
