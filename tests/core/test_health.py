"""What is measured inside a model is what is there, and is measured as rarely as was asked."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from core.config import EvalConfig, RunConfig, TrainConfig
from core.errors import ConfigError
from core.events import HealthMeasured
from core.model.transformer import Transformer
from core.testing import CPU, MODEL_SWITCHES, tiny_model, tiny_model_config
from core.text.batches import RandomBatches
from core.training.activations import attention_entropy, look_inside
from core.training.health import Health, Pace
from core.training.step import compute_gradients

IDS = np.random.default_rng(0).integers(0, 31, 500)


def rows(n: int = 3, length: int = 16) -> torch.Tensor:
    return torch.from_numpy(IDS[: n * length].reshape(n, length).astype(np.int64))


def entropy_by_values(q: torch.Tensor, k: torch.Tensor) -> float:
    """The fused kernel's own weights, read off with values that are the identity."""
    length = q.size(2)
    values = torch.eye(length).expand(1, k.size(1), length, length)
    weights = F.scaled_dot_product_attention(q, k, values, is_causal=True, enable_gqa=True)
    entropies = torch.special.entr(weights).sum(-1)[..., 1:]
    return (entropies / torch.arange(2, length + 1).log()).mean().item()


@pytest.mark.parametrize("n_kv_heads", [4, 2, 1])
def test_the_entropy_is_that_of_the_kernels_own_weights(n_kv_heads: int) -> None:
    torch.manual_seed(0)
    q, k = 3 * torch.randn(1, 4, 16, 8), torch.randn(1, n_kv_heads, 16, 8)
    assert attention_entropy(q, k).item() == pytest.approx(entropy_by_values(q, k), rel=1e-5)


def test_the_entropy_is_one_where_all_is_alike_and_zero_where_one_is_all() -> None:
    q = torch.ones(2, 2, 40, 4)
    assert attention_entropy(0 * q, q).item() == pytest.approx(1)
    k = torch.zeros(2, 2, 40, 4)
    k[:, :, 0] = 1000
    assert attention_entropy(q, k).item() == pytest.approx(0)


@pytest.mark.parametrize("switches", MODEL_SWITCHES.values(), ids=MODEL_SWITCHES.keys())
def test_every_model_can_be_looked_into_and_is_left_as_it_was(switches: dict[str, Any]) -> None:
    model = tiny_model(**switches, **({} if "dropout" in switches else {"dropout": 0.1})).train()
    before, hooks = torch.random.get_rng_state(), [len(m._forward_hooks) for m in model.modules()]
    seen = look_inside(model, rows(), CPU)
    assert model.training
    assert torch.equal(torch.random.get_rng_state(), before)
    assert [len(m._forward_hooks) for m in model.modules()] == hooks
    assert all("_attend" not in block.attention.__dict__ for block in model.blocks)
    has_relu = model.config.activation in ("relu", "relu2")
    assert len(seen.dead_shares) == (2 if has_relu else 0)
    assert all(0 < entropy <= 1.0001 for entropy in torch.stack(seen.attention_entropies).tolist())
    logits = model.eval()(rows())
    assert seen.logit_range == (logits.min(), logits.max())


def test_a_unit_is_dead_that_no_token_wakes() -> None:
    model = tiny_model()
    with torch.no_grad():
        model.blocks[1].feed_forward.up_proj.weight[:96] = 0
    alive, dead = torch.stack(look_inside(model, rows(), CPU).dead_shares).tolist()
    assert alive < 0.1
    assert dead == pytest.approx(0.75, abs=0.03)


class Shrinking:
    """Whatever the gradients are: a step that takes a hundredth of the weights away."""

    @torch.no_grad()
    def step(self, model: Transformer) -> None:
        for parameter in model.parameters():
            parameter.mul_(0.99)


def measured(**changes: Any) -> tuple[Transformer, HealthMeasured, float]:
    model = Transformer(tiny_model_config(n_layers=3), seed=0)
    train = TrainConfig(context=8, batch_size=4, steps=9, grad_clip=0.05)
    every = EvalConfig(**{"health_interval": 2} | changes)
    config = RunConfig(model=model.config, train=train, eval=every)
    batches = RandomBatches(IDS, batch_size=4, context=8, seed=0)
    health = Health(model, batches, config, device=CPU)
    found = None
    for step in (1, 2):
        _, norm = compute_gradients(model, batches, train, CPU, step)
        health.before_update(step, norm if step == 2 else 0.01, 0.1 * step)
        Shrinking().step(model)
        told = health.after_update()
        assert (told is None) == (step == 1)
        found = told or found
    assert found is not None
    return model, found, norm


def test_norms_and_updates_are_told_by_layer() -> None:
    model, found, norm = measured()
    assert found.step == 2
    assert found.layers == ("embedding", "1", "2", "3", "head")
    assert found.update_ratios == pytest.approx([0.01] * 5, rel=1e-3)
    weights = [model.embedding, *model.blocks, (model.head, model.final_norm)]
    for told, part in zip(found.weight_norms, weights, strict=True):
        parts = part if isinstance(part, tuple) else (part,)
        flat = torch.cat([p.detach().flatten() for one in parts for p in one.parameters()])
        assert told == pytest.approx(flat.norm().item(), rel=1e-3)
    assert math.hypot(*found.grad_norms) == pytest.approx(norm, rel=1e-3)
    assert found.clip_rate == 0.5
    assert found.probed_tokens == 32
    assert len(found.dead_shares) == len(found.attention_entropies) == 3
    assert found.logit_low < found.logit_high
    assert found.cost_s > 0


def test_figures_have_four_digits() -> None:
    _, found, _ = measured()
    assert all(float(f"{figure:.4g}") == figure for figure in found.grad_norms)


def test_a_step_that_was_undone_in_between_is_not_measured() -> None:
    model = Transformer(tiny_model_config(), seed=0)
    train = TrainConfig(context=8, batch_size=4, steps=9)
    config = RunConfig(model=model.config, train=train, eval=EvalConfig(health_interval=2))
    batches = RandomBatches(IDS, batch_size=4, context=8, seed=0)
    health = Health(model, batches, config, device=CPU)
    for step in (2, 1):
        compute_gradients(model, batches, train, CPU, step)
        health.before_update(step, 1.0, 0.1)
    assert health.after_update() is None


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_measuring_takes_its_share_of_the_time_and_not_more(share: float) -> None:
    pace, time, cost, measurements = Pace(share=share, interval=0), 5.0, 0.0, 0
    for step in range(1, 20_000):
        if pace.is_due(step, time):
            price = 0.004 if measurements % 2 else 0.006
            pace.measured(price)
            cost, measurements, time = cost + price, measurements + 1, time + price
        time += 0.02
    assert 0.4 * share < cost / time < share


def test_the_first_measurement_waits_for_its_share_whatever_the_first_step_took() -> None:
    pace, due = Pace(share=0.01, interval=0), []
    for step in range(1, 300):
        time = 6.0 * (step > 1) + 0.02 * step
        if pace.is_due(step, time):
            due.append(step)
            break
    assert due == [3]  # the slow first step has paid for it already


def test_a_share_of_nothing_measures_nothing() -> None:
    pace = Pace(share=0.0, interval=1)
    assert not any(pace.is_due(step, float(step)) for step in range(100))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("health_share", 1.5, "health_share=1.5 is more than all of the time."),
        ("health_share", -0.1, "health_share=-0.1 is below 0, the least that makes sense."),
        ("health_interval", -1, "health_interval=-1 is below 0, the least that makes sense."),
    ],
)
def test_impossible_settings_are_refused(name: str, value: float, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        replace(EvalConfig(), **{name: value})
    assert str(refused.value) == words
    assert refused.value.hint in (
        "The usual value is 0.01.",
        "The default is 0.01.",
        "The default is 0.",
    )
