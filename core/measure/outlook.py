"""What the last validation of a run may say: a guess with an interval, and where it is from.

A law of small runs says how far a model gets below (or stays above) the best n-gram of its own
tokens, from the bytes of text it learns on; at these sizes its parameters tell no more. Where a
finished run on the same text and tokens is at hand, the law only has to say how the two differ.

The law is a least-squares fit of ln(loss / best n-gram) = a + b / sqrt(bytes), with an a and a b
for either optimiser; a straight line in ln(bytes) left half as much again (docs/lab-notes.md). The
spread is what remained on a text that was left out of the fit. They hold for what was in that grid;
outside of it there is no guess.

Source of the constants LAW … MOST_PARAMS: 31 runs, `python tests/benchmarks/loss_guess.py fit
tests/benchmarks/loss_guess_rows.jsonl`. MOST_PASSES, BEYOND and NEAR are chosen, and so are
NEAR_SPREAD and FAR_SPREAD: nine tenths of what `fit` lists under "from a near run" are within.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.config import RunConfig
from core.errors import DataError
from core.events import LossGuess
from core.measure.ground import Ground
from core.store.find import all_runs
from core.store.metrics import read_last_metrics
from core.store.run import Run
from core.text.sources import full_name

LAW = (-0.0331, 0.3382, -0.1036, -0.1217)
"""Weights of 1 and of (bytes learned on / 1 MB) ** -0.5, and what is added to both for runs with
Muon."""
LAW_SPREAD = {"muon": 0.052, "adamw": 0.097}
"""Standard deviation of ln(loss / law) on a text that the law does not know, by optimiser: the runs
with Muon have the recipe of quick, those with AdamW that of their presets."""
NEAR_SPREAD, FAR_SPREAD = 0.03, 0.4
"""The same from a run on the same text: of equally long runs of equally large models, and what is
added for a difference of the law's of 1."""
MOST_PASSES = 10.0
"""Over a text, up to which nearly all of the grid is."""
LEAST_BYTES, MOST_BYTES = 1.7e5, 7e6
LEAST_PARAMS, MOST_PARAMS = 1.1e5, 9.2e5
"""Of the grid: bytes learned on, parameters."""
BEYOND = 2.0
"""How far out of the grid the law is still believed."""
NEAR = 4.0
"""A run with up to so many times the tokens or parameters, or as many times fewer, is at hand."""
Z = 1.645
"""Of a normal distribution, nine tenths are within so many standard deviations."""


@dataclass(frozen=True, slots=True)
class Effort:
    """What a run puts in."""

    n_params: int
    tokens: int
    bytes_per_token: float
    optimizer: str

    @property
    def n_bytes(self) -> float:
        """Learned on, repetitions counted."""
        return self.tokens * self.bytes_per_token


def guess_loss(config: RunConfig, ground: Ground, n_params: int, tokens: int) -> LossGuess:
    """The final loss of a new run, or why it cannot be told."""
    if config.train.is_untrained:
        return _none("nothing is trained")
    if config.text.is_task:
        return _none("a task is learned of a sudden, and nobody knows when")
    text = ground.text
    per_token = 1.0 if text is None else text.bytes_per_token
    effort = Effort(n_params, tokens, per_token, config.train.optimizer)
    passes = tokens / max(1, ground.n_train)
    if passes > BEYOND * MOST_PASSES:
        return _none(
            f"the text would be read {passes:.0f} times, and may be learned by heart; what is"
            f" known is up to {MOST_PASSES:.0f}"
        )
    found = [*_near_runs(config, ground, effort)]
    if found:
        return _from_run(min(found, key=lambda one: _distance(one[1], effort)), effort, ground)
    if text is None:
        return _none("the text is too large to be read for a forecast")
    ngrams = (
        [b.loss for b in text.baselines.baselines if b.kind == "ngram"] if text.baselines else []
    )
    if not ngrams:
        return _none("without baselines nothing is known of the text")
    if ground.floor is not None:
        return _none("a text that a machine writes by rules is learned at a pace of its own")
    if outside := _outside(effort):
        return _none(outside)
    loss = min(ngrams) * math.exp(law(effort))
    spread = LAW_SPREAD[effort.optimizer]
    return _guess(loss, spread, ground, "by the law of small runs")


def law(effort: Effort) -> float:
    """ln(final loss / the best n-gram's)."""
    return float(features(effort) @ np.array(LAW))


def features(effort: Effort) -> NDArray[np.float64]:
    """What the weights of the law stand for, float64 of shape (4,)."""
    lack, is_muon = (effort.n_bytes / 1e6) ** -0.5, float(effort.optimizer == "muon")
    return np.array([1.0, lack, is_muon, is_muon * lack])


def _outside(effort: Effort) -> str:
    """Why the law does not speak of it; "" if it does."""
    if effort.optimizer not in LAW_SPREAD:
        return f"the law of small runs does not know {effort.optimizer}"
    for value, least, most, what in (
        (effort.n_params, LEAST_PARAMS, MOST_PARAMS, "parameters"),
        (effort.n_bytes, LEAST_BYTES, MOST_BYTES, "bytes learned on"),
    ):
        if not least / BEYOND <= value <= most * BEYOND:
            return (
                f"{value:,.0f} {what} are not among what the law of small runs is from,"
                f" {least:,.0f} to {most:,.0f}"
            )
    return ""


def _none(why: str) -> LossGuess:
    return LossGuess(loss=None, low=None, high=None, why=why)


def _guess(loss: float, spread: float, ground: Ground, why: str) -> LossGuess:
    """With its interval; nothing of it below the floor."""
    floor = ground.floor or 0.0
    loss, low, high = (max(floor, loss * math.exp(z * spread)) for z in (0.0, -Z, Z))
    return LossGuess(loss=loss, low=low, high=high, why=why)


def _from_run(near: tuple[Run, Effort, float], effort: Effort, ground: Ground) -> LossGuess:
    run, theirs, loss = near
    difference = law(effort) - law(theirs)
    spread = NEAR_SPREAD + FAR_SPREAD * abs(difference)
    return _guess(loss * math.exp(difference), spread, ground, f"as the run {run.name} did")


def _distance(theirs: Effort, ours: Effort) -> float:
    """How many times more or fewer, in logarithms."""
    return abs(math.log(theirs.tokens / ours.tokens)) + abs(
        math.log(theirs.n_params / ours.n_params)
    )


def _near_runs(
    config: RunConfig, ground: Ground, effort: Effort
) -> Iterator[tuple[Run, Effort, float]]:
    """Finished runs on the same tokens by the same optimiser that are about as long and large,
    with the loss of their last validation."""
    wanted = replace(config.text, corpus=_kept_name(config, ground))
    for run in all_runs():
        is_like = run.config.text == wanted and run.config.train.optimizer == effort.optimizer
        if ground.text is not None:
            is_like &= run.provenance.get("corpus_sha256") == ground.text.corpus_sha256
        if not is_like or "init_from" in run.provenance:
            continue
        for loss, tokens, n_params in _end_of(run):
            theirs = replace(effort, n_params=n_params, tokens=tokens)
            ratios = tokens / effort.tokens, n_params / effort.n_params
            if all(1 / NEAR <= ratio <= NEAR for ratio in ratios):
                yield run, theirs, loss


def _kept_name(config: RunConfig, ground: Ground) -> str:
    if ground.text is not None:
        return ground.text.corpus
    try:
        return full_name(config.text.corpus)
    except DataError:
        return config.text.corpus


def _end_of(run: Run) -> Iterator[tuple[float, int, int]]:
    """Loss, tokens and parameters of a run that came to its end; metrics are what somebody else may
    have written, too."""
    ends = [e for e in read_last_metrics(run.path) if e.get("event") == "RunFinished"]
    result: Any = ends[-1].get("result") if ends else None
    if not isinstance(result, dict) or ends[-1].get("reason") != "budget":
        return
    loss, tokens, n_params = (result.get(name) for name in ("val_loss", "tokens", "params"))
    if (
        (isinstance(loss, float) and loss > 0)
        and (isinstance(tokens, int) and tokens > 0)
        and (isinstance(n_params, int) and n_params > 0)
    ):
        yield loss, tokens, n_params
