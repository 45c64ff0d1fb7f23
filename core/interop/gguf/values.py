"""Values of a GGUF by their keys, of the type that is meant, or an error that names the key.

Numbers with a fraction are float32 in the file; they are taken as the shortest decimal that is
the same float32, so that 1e-5 stays 1e-5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from core.errors import FormatError

LARGEST = 1 << 20
"""Of any width or count, unless more is allowed."""


class Values:
    """Values by their keys, of the type that is meant, or an error that names the key."""

    def __init__(self, values: Mapping[str, Any], source: str, prefix: str = "") -> None:
        self._values, self.source, self.prefix = values, source, prefix

    def below(self, prefix: str) -> Values:
        """Those whose keys begin so."""
        return Values(self._values, self.source, prefix)

    def has(self, key: str) -> bool:
        """Whether the file says anything about it."""
        return self.prefix + key in self._values

    def count(self, key: str, default: int | None = None, *, most: int = LARGEST) -> int:
        """A whole number from 0 to `most`."""
        value = self._values.get(self.prefix + key, default)
        if type(value) is not int or not 0 <= value <= most:
            raise self._wrong(key, f"a whole number up to {most}")
        return value

    def real(self, key: str, default: float | None = None) -> float:
        """A finite number."""
        value = self._values.get(self.prefix + key, default)
        if type(value) not in (int, float) or not math.isfinite(value):
            raise self._wrong(key, "a finite number")
        return float(str(np.float32(value)))

    def flag(self, key: str, *, default: bool) -> bool:
        """Yes or no."""
        value = self._values.get(self.prefix + key, default)
        if type(value) is not bool:
            raise self._wrong(key, "true or false")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """A text."""
        value = self._values.get(self.prefix + key, default)
        if type(value) is not str:
            raise self._wrong(key, "a text")
        return value

    def all_of(self, key: str, kind: type, n: int | None = None) -> list[Any]:
        """A list of one kind, of `n` items if that is said."""
        value = self._values.get(self.prefix + key)
        items: list[Any] = value if isinstance(value, list) else [value]
        is_long_enough = isinstance(value, list) and n in (None, len(items))
        if not is_long_enough or any(type(item) is not kind for item in items):
            raise self._wrong(key, f"a list of {'' if n is None else f'{n} '}{kind.__name__}")
        return items

    def refuse(self, key: str, value: object) -> FormatError:
        """That we cannot compute what the key asks for."""
        return FormatError(
            f"{self.source} asks for {self.prefix}{key}={value}, and minitf has nothing that"
            " computes it.",
            hint="Choose another model: a dense one of the Llama family, with full attention.",
        )

    def _wrong(self, key: str, wanted: str) -> FormatError:
        value = self._values.get(self.prefix + key)
        shown = "is missing" if value is None else f"is {str(value)[:40]}"
        return FormatError(
            f"{self.source} is a damaged GGUF: {self.prefix}{key} {shown}, not {wanted}.",
            hint="Fetch or export it again.",
        )
