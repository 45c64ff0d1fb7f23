"""Where the problems of a task stand in its token ids, and what of them is an answer.

A token is a character, or a byte, so that none holds parts of a question and of its answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.text.tasks import END, EQUALS
from core.text.tokenizer import Tokenizer

Ids = NDArray[Any]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Problems:
    """Of N ids, P whole problems: lines that begin and end among them."""

    starts: Ints
    """Of shape (P,): their first tokens."""
    lengths: Ints
    """Of shape (P,), with the line break."""
    is_answer: NDArray[np.bool_]
    """Of shape (N,): what follows the equals sign, up to the line break and with it."""


def find_problems(ids: Ids, tokenizer: Tokenizer, *, begins_with_one: bool) -> Problems:
    """The problems in a stretch of a task's text.

    Args:
        begins_with_one: the stretch does not begin inside of one, or nobody knows.
    """
    is_end = np.asarray(ids == tokenizer.encode(END)[0])
    is_equals = np.asarray(ids == tokenizer.encode(EQUALS)[0])
    ends = np.flatnonzero(is_end) + 1
    starts = np.concatenate([np.zeros(int(begins_with_one), np.int64), ends])[: len(ends)]
    if not begins_with_one:
        starts, ends = ends[:-1], ends[1:]
    place = np.arange(len(ids))
    last_equals, last_end = (
        np.maximum.accumulate(np.where(mark, place, -1)) for mark in (is_equals, is_end)
    )
    follows = np.zeros(len(ids), bool)
    follows[1:] = last_equals[:-1] > last_end[:-1]
    follows[: starts[0] if len(starts) else len(ids)] = False
    return Problems(starts, ends - starts, follows)
