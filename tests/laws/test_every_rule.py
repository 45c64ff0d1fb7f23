"""Whatever the rule of a step, the type of its products and the way rows are drawn, a run that was
commanded, killed, resumed, replayed or forked is the same, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest

from core import recipes
from core.config import RunConfig, read_command
from core.events import Paused, RunFinished, StepCompleted
from core.store.find import find_run

SCRIPT = {2: "lr 0.5", 5: "budget +2 steps", 7: "save"}
"""By the step after which it is asked."""

SORTED = {"corpus": "task:reverse", "answers_only": True, "generated_chars": 5000, "task_size": 3}

RULES = (
    {"dtype": "bfloat16", "rows": "shuffled"},
    {"optimizer": "muon", "grad_accum": 2},
    {"optimizer": "muon", "dtype": "bfloat16", "matrix_lr": 0.05},
    {"optimizer": "muon", "muon_rows": 8, "rows": "shuffled", "grad_accum": 2},
    {"optimizer": "sgd", "schedule": "flat_linear", "min_lr": 0.0, "rows": "shuffled"},
    {"optimizer": "lion", "dtype": "bfloat16", "grad_accum": 2},
    SORTED | {"optimizer": "lion"},
    SORTED | {"optimizer": "muon", "muon_rows": 8, "dtype": "bfloat16"},
)


@pytest.fixture
def config(config: RunConfig) -> RunConfig:
    return config.with_changes(steps=8, sample_interval=0, seed=7)


@pytest.mark.parametrize("changes", RULES, ids=lambda rule: " ".join(map(str, rule.values())))
def test_a_commanded_run_is_resumed_replayed_and_forked_bit_for_bit(
    config: RunConfig, changes: dict[str, Any], equality: Any
) -> None:
    config = config.with_changes(**changes)
    *_, last = equality.drive(recipes.training(config, name="whole"), SCRIPT)
    assert isinstance(last, RunFinished)
    whole = find_run("whole").run
    assert last.result.steps == 10
    equality.drive(recipes.training(config, name="torn"), SCRIPT, killed_at=5, name="torn")
    equality.drive(recipes.resuming("torn"), {5: SCRIPT[5], 7: SCRIPT[7]})
    torn = find_run("torn").run
    assert equality.story(torn) == equality.story(whole)
    assert equality.finish(recipes.replaying("whole", name="again")).agreement.is_equal
    assert equality.finish(recipes.replaying("torn", name="torn-again")).agreement.is_equal
    equality.finish(recipes.forking("whole@9", name="fork"))
    for name in ("torn", "again", "fork"):
        assert equality.tensors(find_run(name).run) == equality.tensors(whole), name


def test_a_run_that_was_paused_ends_as_one_that_was_not(config: RunConfig, equality: Any) -> None:
    whole = equality.train(config)
    session, waits, said = recipes.training(config, name="paused"), ["step", "resume"], [5]
    for event in session.run():
        if isinstance(event, StepCompleted) and [event.step] == said:
            said.clear()
            assert session.control(read_command(["pause"]))
        elif isinstance(event, Paused):
            assert session.control(read_command([waits.pop(0)]))
    assert not waits
    paused = find_run("paused").run
    assert equality.tensors(paused) == equality.tensors(whole)
    assert equality.story(paused) == equality.story(whole)
    assert equality.finish(recipes.replaying("paused", name="again")).agreement.is_equal
