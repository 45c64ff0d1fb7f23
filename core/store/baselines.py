"""Baselines of a text, counted once and then kept.

    <cache dir>/baselines/<sha256>.json    what `BaselinesCounted` tells

They are those of the run's own tokens, and scored as its validations are: each held-out token
but the first one. In a very long text only the tokens next to where it is split are counted and
scored, so that setting up a run takes seconds and no more memory than training does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core import paths
from core.config import RunConfig
from core.events import Baseline, BaselinesCounted
from core.store.files import write_atomically
from core.store.metrics import baselines_in, read_metrics
from core.store.run import Run
from core.store.stages import IsStopping, Telling, outcome, telling
from core.store.tokenizers import hash_of
from core.store.tokens import TokenizedText
from core.text.baselines import ORDERS, ngram_probabilities
from core.text.compressors import HELD_OUT_BYTES, WINDOW_BYTES, added_bits, compressors
from core.text.problems import find_problems

FORMAT = 1
MOST_COUNTED, MOST_SCORED = 2_000_000, 500_000
"""Tokens on both sides of the split."""

Mask = NDArray[np.bool_]


def with_baselines(
    config: RunConfig, reading: Telling[TokenizedText | None], is_stopping: IsStopping
) -> Telling[TokenizedText | None]:
    """The text that is read, with its baselines if the run wants them, from the cache if they are
    there. None if it was stopped."""
    text = yield from reading
    if text is None or not config.eval.baselines:
        return text
    is_scored = None
    if config.train.answers_only:
        ids = text.validation_ids
        is_scored = find_problems(ids, text.tokenizer, begins_with_one=False).is_answer
    counted = yield from outcome(_counted(text, is_stopping, is_scored))
    return None if counted is None else replace(text, baselines=counted)


def baselines_told(run: Run) -> tuple[Baseline, ...]:
    """What a run was held against when it was trained; nothing in older runs."""
    return baselines_in(read_metrics(run.path))


def _counted(
    text: TokenizedText, is_stopping: IsStopping, is_scored: Mask | None
) -> Telling[BaselinesCounted]:
    path = _path_for(text, is_scored)
    found = _read(path)
    if found is None:
        work = _count(text, is_scored)
        found = yield from telling("counting baselines", work, is_stopping)
        if text.digest:
            with suppress(OSError):  # a full disk only costs the same time again
                write_atomically(path, json.dumps(asdict(found)).encode())
    return found


def _count(text: TokenizedText, is_scored: Mask | None) -> Generator[float, None, BaselinesCounted]:
    train, held_out = text.train_ids[-MOST_COUNTED:], text.validation_ids[:MOST_SCORED]
    mask = np.arange(len(held_out)) > 0
    if is_scored is not None:
        mask &= is_scored[: len(held_out)]
    vocab_size = text.tokenizer.vocab_size
    found = [Baseline(name="uniform", loss=math.log(vocab_size), kind="uniform")]
    parts = ORDERS + 2
    for n, probability in enumerate(ngram_probabilities(train, held_out, vocab_size), 1):
        loss = float(-np.log(probability[mask]).mean())
        found.append(Baseline(name=f"{n}-gram", loss=loss, kind="ngram"))
        yield n / parts
    if is_scored is None:
        for baseline in _compressed(text):
            found.append(baseline)
            yield min(len(found) / parts, 1.0)
    return BaselinesCounted(
        baselines=tuple(found), counted_tokens=len(train), scored_tokens=int(mask.sum())
    )


def _compressed(text: TokenizedText) -> Iterator[Baseline]:
    """Of as many held-out tokens as the window has room for."""
    tokenizer, ids = text.tokenizer, text.validation_ids
    scored = ids[1 : 1 + max(1, int(HELD_OUT_BYTES / max(text.bytes_per_token, 1)))]
    data = tokenizer.decode_bytes(scored.tolist())
    before = tokenizer.decode_bytes([*text.train_ids[-WINDOW_BYTES:].tolist(), int(ids[0])])
    for name, compress in compressors():
        nats = added_bits(compress, before, data) * math.log(2)
        yield Baseline(name=name, loss=nats / len(scored), kind="compressor")


def _read(path: Path) -> BaselinesCounted | None:
    """None if there is no such file, or not as it was written."""
    try:
        found = json.loads(path.read_bytes())
        baselines = baselines_in([found | {"event": "BaselinesCounted"}])
        if len(baselines) != len(found["baselines"]):
            return None
        counts = int(found["counted_tokens"]), int(found["scored_tokens"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return BaselinesCounted(baselines=baselines, counted_tokens=counts[0], scored_tokens=counts[1])


def _path_for(text: TokenizedText, is_scored: Mask | None) -> Path:
    scored = "all" if is_scored is None else "some"
    name = hash_of(f"baselines {FORMAT} {text.digest} {scored}")
    return paths.cache_dir() / "baselines" / f"{name}.json"
