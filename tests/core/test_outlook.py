"""The guess of a final loss: what it is from, its interval, and where there is none."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import core
from core import recipes
from core.config import RunConfig
from core.events import Baseline, BaselinesCounted, ForecastCompleted, LossGuess
from core.measure import outlook
from core.measure.ground import Ground
from core.measure.outlook import Effort, guess_loss, law
from core.store.find import all_runs
from core.store.tokens import TokenizedText
from core.testing import tiny_run_config
from core.text.tokenizer import ByteTokenizer

NGRAMS = BaselinesCounted(
    baselines=(
        Baseline(name="uniform", loss=5.5, kind="uniform"),
        Baseline(name="1-gram", loss=3.0, kind="ngram"),
        Baseline(name="2-gram", loss=2.0, kind="ngram"),
        Baseline(name="bz2", loss=1.0, kind="compressor"),
    ),
    counted_tokens=90_000,
    scored_tokens=10_000,
)
PARAMS, TOKENS = 200_000, 1_000_000


@pytest.fixture
def config(text_file: str) -> RunConfig:
    return tiny_run_config(text_file).with_changes(optimizer="muon", tokenizer="byte")


def ground(floor: float | None = None, n_train: int = 900_000, **given: Any) -> Ground:
    ids = np.frombuffer(b"The river runs to the sea.\n" * 20, np.uint8)
    facts: dict[str, Any] = {"baselines": NGRAMS, "corpus_sha256": "ab", "corpus": "river"}
    text = TokenizedText(ByteTokenizer(), train_ids=ids, validation_ids=ids, **facts | given)
    return Ground(ids, ids, n_train, len(ids), 256, text=text, floor=floor)


def between(guess: LossGuess) -> bool:
    assert guess.loss is not None
    assert guess.low is not None
    assert guess.high is not None
    return guess.low <= guess.loss <= guess.high


def test_the_law_is_relative_to_the_best_ngram(config: RunConfig) -> None:
    guess = guess_loss(config, ground(), PARAMS, TOKENS)
    effort = Effort(PARAMS, TOKENS, 1.0, "muon")
    assert guess.loss == pytest.approx(2.0 * math.exp(law(effort)))
    assert between(guess)
    assert guess.why == "by the law of small runs"
    spread = outlook.LAW_SPREAD["muon"]
    assert guess.high == pytest.approx(guess.loss * math.exp(1.645 * spread))


def test_more_text_promises_less_loss_and_less_so_the_more_there_was() -> None:
    effort = Effort(PARAMS, TOKENS, 1.0, "muon")
    assert law(replace(effort, tokens=2 * TOKENS)) < law(effort)
    gains = [
        law(replace(effort, tokens=n * TOKENS)) - law(replace(effort, tokens=2 * n * TOKENS))
        for n in (1, 2, 4)
    ]
    assert gains == sorted(gains, reverse=True)
    assert gains[-1] > 0
    assert law(effort) < law(replace(effort, optimizer="adamw"))
    # As many bytes in fewer tokens are as much text.
    assert law(Effort(PARAMS, TOKENS // 2, 2.0, "muon")) == pytest.approx(law(effort))


@pytest.mark.parametrize(
    ("changes", "given", "why"),
    [
        ({"steps": 0}, {}, "nothing is trained"),
        (
            {"corpus": "task:addition", "tokenizer": "char"},
            {},
            "a task is learned of a sudden, and nobody knows when",
        ),
        ({}, {"n_train": 20_000}, "the text would be read 50 times"),
        ({}, {"baselines": None}, "without baselines nothing is known of the text"),
        ({}, {"floor": 1.0}, "is learned at a pace of its own"),
        ({"optimizer": "lion"}, {}, "the law of small runs does not know lion"),
    ],
)
def test_where_nothing_is_known_nothing_is_guessed(
    config: RunConfig, changes: dict[str, Any], given: dict[str, Any], why: str
) -> None:
    guess = guess_loss(config.with_changes(**changes), ground(**given), PARAMS, TOKENS)
    assert (guess.loss, guess.low, guess.high) == (None, None, None)
    assert why in guess.why


@pytest.mark.parametrize(
    ("params", "tokens", "why"),
    [
        (124_000_000, TOKENS, "124,000,000 parameters are not among"),
        (1_000, TOKENS, "1,000 parameters are not among"),
        (PARAMS, 20_000, "20,000 bytes learned on are not among"),
    ],
)
def test_the_law_does_not_leave_its_grid(
    config: RunConfig, params: int, tokens: int, why: str
) -> None:
    guess = guess_loss(config, ground(), params, tokens)
    assert guess.loss is None
    assert why in guess.why


def test_a_text_that_was_not_read_has_no_guess(config: RunConfig) -> None:
    unread = replace(ground(), text=None)
    guess = guess_loss(config, unread, PARAMS, TOKENS)
    assert guess.why == "the text is too large to be read for a forecast"


def forecast_of(config: RunConfig) -> LossGuess:
    *_, last = recipes.forecasting(config, seconds=0.02).run()
    assert isinstance(last, ForecastCompleted)
    return last.result.final_loss


def test_a_finished_run_on_the_same_text_says_most(config: RunConfig) -> None:
    """The tiny model is out of the law's grid; the run that was made is not."""
    config = config.with_changes(steps=6)
    assert forecast_of(config).loss is None
    done = core.train(config, name="river-run")
    same = forecast_of(config)
    assert same.loss == pytest.approx(done.val_loss)
    assert between(same)
    assert same.why == "as the run river-run did"
    longer = forecast_of(config.with_changes(steps=12))
    assert longer.loss is not None
    assert longer.loss < same.loss
    assert longer.high / longer.low > same.high / same.low  # type: ignore[operator]
    # Other tokens, another optimiser, or many times the steps are another story.
    for changes in ({"tokenizer": "char"}, {"optimizer": "adamw"}, {"steps": 60}):
        assert forecast_of(config.with_changes(**changes)).loss is None


def test_nothing_is_promised_below_the_floor(config: RunConfig) -> None:
    core.train(config.with_changes(steps=6), name="floored")
    [run] = all_runs()
    sha256 = run.provenance["corpus_sha256"]
    told = ground(floor=99.0, corpus=run.config.text.corpus, corpus_sha256=sha256)
    n_params = int(run.provenance["n_params"])
    guess = guess_loss(config.with_changes(steps=6), told, n_params, 6 * 32)
    assert (guess.loss, guess.low, guess.high) == (99.0, 99.0, 99.0)
