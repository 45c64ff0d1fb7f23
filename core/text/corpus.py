"""Texts to learn from, and their split.

A text is split in characters, before it is tokenised: the end is held out, and nothing of
it, not even a merge of the tokenizer, is learned from. (With `max_tokens` the split is made
in tokens, so the tokenizer comes first; it is made from the training share of the whole
text, of which the first tokens are kept. An alphabet is always that of the whole text.)
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from core.config.text import GENERATED
from core.errors import DataError
from core.paths import absolute
from core.text.generated import generated_pieces, is_generated

PYTHON_DOCS = "python-docs"


@dataclass(frozen=True, slots=True)
class Corpus:
    """A text with a name and a fingerprint."""

    name: str
    """What a run may show: a built-in name or an absolute path."""
    text: str
    sha256: str
    """Of the text in UTF-8."""


def load_corpus(name: str) -> Corpus:
    """The built-in text of that name, else the file at that path.

    Raises:
        DataError: it is missing, unreadable, empty, binary or not UTF-8.
    """
    name = full_name(name)
    if is_generated(name):
        text = "".join(generated_pieces(name))
    else:
        text = _python_docs() if name == PYTHON_DOCS else read_text(Path(name))
    return Corpus(name, text, hashlib.sha256(text.encode()).hexdigest())


def full_name(name: str) -> str:
    """A built-in name as it is, a path made absolute: it means the same from any folder."""
    is_built_in = name in (PYTHON_DOCS, GENERATED) or is_generated(name)
    return name if is_built_in else str(absolute(name))


def read_text(path: Path) -> str:
    """A file's text, line ends kept, a byte-order mark dropped.

    Raises:
        DataError: it is missing, unreadable, empty, binary or not UTF-8.
    """
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not data:
        raise DataError(f"The file {str(path)!r} is empty.", hint="Choose a text of a few KB.")
    zero = data.find(b"\0")
    if zero >= 0:
        raise DataError(
            f"The file {str(path)!r} is not text: byte {zero} is NUL.",
            hint="Choose a plain text file in UTF-8.",
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"The file {str(path)!r} is not UTF-8: byte {error.start} is"
            f" 0x{data[error.start]:02x}.",
            hint=f"Convert it first: iconv -t utf-8 -f latin1 {path.name}",
        ) from error
    text = text.removeprefix("\ufeff")
    if not text:
        raise DataError(f"The file {str(path)!r} is empty.", hint="Choose a text of a few KB.")
    return text


def split_text(text: str, validation_fraction: float) -> tuple[str, str]:
    """`(training, validation)`; the last characters are held out.

    Raises:
        DataError: one of the two would be empty.
    """
    cut = round(len(text) * (1 - validation_fraction))
    if not 0 < cut < len(text):
        raise DataError(
            f"The text is too short to split: {len(text)} characters,"
            f" of which {validation_fraction:g} are to be held out.",
            hint="Choose a longer text.",
        )
    return text[:cut], text[cut:]


def _python_docs() -> str:
    """The language reference that every full Python carries for `help()`."""
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise DataError(
            "This Python lacks pydoc_data, the text python-docs.",
            hint="Install the full standard library, or use --corpus FILE.",
        ) from error
    return "\n\n".join(topics.values())


def _unreadable(path: Path, error: OSError | ValueError) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(
            f"There is no file {str(path)!r}.",
            hint=f"Known without a file: {PYTHON_DOCS}, {GENERATED}.",
        )
    if os.path.isdir(path):  # noqa: PTH112  (Path.is_dir raises for a name that is too long)
        return DataError(f"{str(path)!r} is a folder.", hint="Name one text file.")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return DataError(
        f"The file {str(path)!r} cannot be read: {reason}.", hint="Check its permissions."
    )
