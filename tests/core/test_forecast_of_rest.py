"""The forecast of a run that goes on: what is behind it is not told again."""

from __future__ import annotations

from typing import Any

import pytest

import core
from core import recipes
from core.config import RunConfig
from core.errors import ConfigError, RunError
from core.events import CheckpointSaved, Forecast, ForecastCompleted, ValidationCompleted
from core.measure.costs import Costs
from core.measure.forecast import Behind, extrapolate
from core.store.find import find_run
from core.testing import tiny_run_config

COSTS = Costs(step_s=2.0, validation_s=10.0, sample_s=100.0, checkpoint_s=1000.0)


@pytest.fixture
def config(text_file: str) -> RunConfig:
    return tiny_run_config(text_file)


def rest(run: str, changes: dict[str, Any] | None = None, *, is_fork: bool = False) -> Forecast:
    *_, last = recipes.forecasting_rest(run, changes, is_fork=is_fork, seconds=0.02).run()
    assert isinstance(last, ForecastCompleted)
    return last.result


def test_only_what_is_to_come_is_counted(config: RunConfig) -> None:
    """Against a resumed run, which counts by itself."""
    config = config.with_changes(
        steps=7, eval_interval=3, sample_interval=0, checkpoint_interval=5, lr=1e-2
    )
    core.train(config, name="tiny")
    events: list[Any] = []
    core.resume("tiny", steps=16, on_event=events.append)
    told = config.with_changes(steps=16)
    end, train_s, beside_s = extrapolate(told, 1000, COSTS, Behind(7, 14.0))
    counts = [
        sum(isinstance(e, kind) for e in events) for kind in (ValidationCompleted, CheckpointSaved)
    ]
    samples = 1  # the one at the end
    assert end == 16
    assert train_s == 9 * 2.0
    assert beside_s == counts[0] * 10.0 + samples * 100.0 + counts[1] * 1000.0


@pytest.mark.parametrize(
    ("budget", "end"),
    [({"seconds": 20.0}, 8), ({"seconds": 9.0}, 5), ({"steps": 5}, 5), ({"epochs": 0.5}, 16)],
)
def test_the_budget_counts_what_was_spent(
    config: RunConfig, budget: dict[str, Any], end: int
) -> None:
    found, train_s, _ = extrapolate(config.with_changes(**budget), 1000, COSTS, Behind(5, 14.0))
    assert found == end
    assert (train_s > 0) == (end > 5)


def test_a_resumed_and_a_forked_run_are_told(config: RunConfig) -> None:
    core.train(config.with_changes(steps=6, checkpoint_interval=4), name="tiny")
    before = find_run("tiny").run.config
    over = rest("tiny")
    assert (over.steps, over.tokens, over.train_s) == (0, 0, 0.0)
    longer = rest("tiny", {"steps": 10})
    assert (longer.steps, longer.tokens) == (4, 4 * 32)
    forked = rest("tiny@4", {"steps": 10, "lr": 0.1}, is_fork=True)
    assert forked.steps == 6
    assert find_run("tiny").run.config == before
    assert [run.name for run in core.list_runs()] == ["tiny"]


def test_what_cannot_go_on_is_refused(config: RunConfig) -> None:
    with pytest.raises(RunError, match="nobody"):
        rest("nobody")
    core.train(config.with_changes(steps=2), name="tiny")
    with pytest.raises(ConfigError, match="d_model"):
        rest("tiny", {"d_model": 64}, is_fork=True)
