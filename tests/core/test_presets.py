"""The presets: shapes as published, and settings that train."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core import recipes
from core.config import RunConfig
from core.events import RunStarted, StepCompleted
from core.presets import ABOUT, LLAMA, PRESETS, preset

PUBLISHED = {"gpt2": 124_439_808, "stories260k": 260_032, "stories15m": 15_191_712}
SMALL = [name for name in PRESETS if name.endswith(("-nano", "-micro"))]


@pytest.mark.parametrize(("name", "n_params"), PUBLISHED.items(), ids=PUBLISHED)
def test_a_shape_has_the_parameters_that_its_makers_count(name: str, n_params: int) -> None:
    assert recipes.estimate(preset(name)).n_params == n_params


def test_llama_125m_is_gpt2s_shape_with_a_head_of_its_own() -> None:
    assert recipes.estimate(preset("llama-125m")).n_params == 134_105_856
    gpt2, llama = preset("gpt2").model, preset("llama-125m").model
    for name in ("n_layers", "n_heads", "d_model", "max_seq_len"):
        assert getattr(gpt2, name) == getattr(llama, name)


@pytest.mark.parametrize(
    ("size", "shape"), [("nano", (3, 3, 48)), ("micro", (4, 4, 128)), ("mini", (6, 6, 192))]
)
def test_small_shapes_have_the_sizes_of_mingpt_in_both_styles(
    size: str, shape: tuple[int, ...]
) -> None:
    gpt2, llama = preset(f"gpt2-{size}"), preset(f"llama-{size}")
    for config in (gpt2, llama):
        model = config.model
        assert (model.n_layers, model.n_heads, model.d_model) == shape
    assert (gpt2.text, gpt2.train, gpt2.eval) == (llama.text, llama.train, llama.eval)
    style = {name: getattr(gpt2.model, name) for name in ("positions", "activation", "bias")}
    assert style == {"positions": "learned", "activation": "gelu_tanh", "bias": True}
    assert {name: getattr(llama.model, name) for name in LLAMA} == LLAMA


@pytest.mark.parametrize("name", PRESETS)
def test_each_is_told_of_and_every_position_is_trained(name: str) -> None:
    config: RunConfig = preset(name)
    assert ABOUT[name]
    assert name in ("seed", "seed-best") or config.train.context == config.model.max_seq_len


@pytest.mark.parametrize("name", SMALL)
def test_a_small_one_learns_from_its_first_steps(name: str, text_file: str) -> None:
    changes = {"corpus": text_file, "context": 32, "seconds": 0.0, "steps": 40}
    config = preset(name).with_changes(**changes, warmup_steps=5, device="cpu", dtype="float32")
    losses = [
        event.loss for event in recipes.training(config).run() if isinstance(event, StepCompleted)
    ]
    assert len(losses) == 40
    assert losses[-1] < 0.6 * losses[0]


def test_the_better_recipe_of_seed_changes_nothing_but_the_recipe() -> None:
    seed, best = preset("seed"), preset("seed-best")
    assert (best.text, best.eval) == (seed.text, seed.eval)
    assert replace(best.model, zero_init=False) == seed.model
    for name in ("context", "batch_size", "grad_accum", "steps", "seed"):
        assert getattr(best.train, name) == getattr(seed.train, name)


def test_quick_is_as_small_as_it_promises_on_characters() -> None:
    config = preset("quick").with_changes(tokenizer="char")
    assert recipes.estimate(config).n_params < 1_000_000
    assert config.train.context <= 128


def test_grokking_learns_the_answers_of_less_than_half_of_all_sums() -> None:
    config = preset("grokking")
    assert config.train.answers_only
    events = recipes.training(config.with_changes(steps=2, threads=1)).run()
    (started,) = (event for event in events if isinstance(event, RunStarted))
    assert started.train_tokens == pytest.approx(0.4 * 53**2 * len("a+b=c\n"), abs=6)
