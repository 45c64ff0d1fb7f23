"""The steps of the training loop: gradients, clipping, several batches, dropout."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core.config import TrainConfig
from core.events import StepCompleted
from core.testing import CPU, tiny_model
from core.text.batches import RandomBatches
from core.training.optimizer import clip_gradients, make_optimizer
from core.training.schedule import learning_rate
from core.training.step import compute_gradients
from tests.core.small_trainers import IDS, make_trainer, steps


@pytest.mark.parametrize("grad_clip", [0.0, 0.05])
@pytest.mark.parametrize("switches", [{}, {"bias": True, "tied_head": True, "norm": "rmsnorm"}])
def test_the_steps_are_those_of_a_hand_written_loop(
    grad_clip: float, switches: dict[str, Any]
) -> None:
    """Against PyTorch's own AdamW, bit for bit."""
    model, twin = tiny_model(**switches), tiny_model(**switches)
    trainer = make_trainer(model, grad_clip=grad_clip, weight_decay=0.3, warmup_steps=3)
    told = steps(list(trainer.run()))

    decayed = [p for p in twin.parameters() if p.dim() >= 2]
    others = [p for p in twin.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.3}, {"params": others, "weight_decay": 0.0}],
        betas=(0.9, 0.95),
        fused=True,
    )
    batches, config = RandomBatches(IDS, batch_size=4, context=8, seed=0), trainer._config
    twin.train()
    for event in told:
        inputs, targets = map(torch.from_numpy, batches.at(event.step))
        loss = F.cross_entropy(twin(inputs).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        gradients = torch.cat([p.grad.flatten() for p in twin.parameters()])
        assert event.loss == loss.item()
        assert event.grad_norm == pytest.approx(gradients.norm().item(), rel=1e-5)
        if grad_clip:
            assert event.grad_norm > grad_clip
            nn.utils.clip_grad_norm_(twin.parameters(), grad_clip)
        assert event.lr == learning_rate(config, event.step, (event.step - 1) / 8)
        for group in optimizer.param_groups:
            group["lr"] = event.lr
        optimizer.step()
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(one, other)


def test_matrices_decay_and_vectors_do_not() -> None:
    model = tiny_model(bias=True)
    optimizer = make_optimizer(model, TrainConfig(steps=1, weight_decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer.step(0.1)
    for name, parameter in model.named_parameters():
        share = 0.95 if parameter.dim() >= 2 else 1.0
        torch.testing.assert_close(parameter, before[name] * share)


def test_clipping_scales_all_gradients_together() -> None:
    model = nn.Linear(3, 2)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 2.0)
    assert clip_gradients(model, 0.0).item() == pytest.approx(math.sqrt(32))
    assert model.bias.grad.tolist() == [2.0, 2.0]
    assert clip_gradients(model, 1.0).item() == pytest.approx(math.sqrt(32))
    assert model.bias.grad.tolist() == pytest.approx([2 / math.sqrt(32)] * 2, rel=1e-5)
    assert clip_gradients(model, 5.0).item() == pytest.approx(1.0, rel=1e-5)
    assert model.bias.grad.tolist() == pytest.approx([2 / math.sqrt(32)] * 2, rel=1e-5)


def test_a_parameter_outside_the_loss_is_a_mistake() -> None:
    model = nn.Linear(3, 2)
    with pytest.raises(RuntimeError, match="a parameter has no gradient"):
        make_optimizer(model, TrainConfig(steps=1)).step(0.1)


def test_moments_that_do_not_fit_are_refused() -> None:
    optimizer = make_optimizer(tiny_model(), TrainConfig(steps=1))
    state = optimizer.state()
    with pytest.raises(KeyError):
        optimizer.load_state({})
    state["head.weight.exp_avg"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"head.weight.exp_avg is \(1,\), not \(31, 32\)"):
        optimizer.load_state(state)


def test_small_batches_of_a_step_are_the_rows_of_the_big_one() -> None:
    small = RandomBatches(IDS, batch_size=3, context=8, seed=5)
    big = RandomBatches(IDS, batch_size=12, context=8, seed=5)
    for step in (1, 2, 10**9):
        for side in (0, 1):
            rows = np.concatenate([small.at(step, micro)[side] for micro in range(4)])
            assert np.array_equal(rows, big.at(step)[side])


@pytest.mark.parametrize("grad_clip", [0.0, 0.05])
def test_accumulated_gradients_are_those_of_the_big_batch(grad_clip: float) -> None:
    found = []
    for batch_size, grad_accum in ((12, 1), (3, 4), (1, 12)):
        model = tiny_model(bias=True, tied_head=True)
        config = TrainConfig(
            steps=1, context=8, batch_size=batch_size, grad_accum=grad_accum, grad_clip=grad_clip
        )
        batches = RandomBatches(IDS, batch_size=batch_size, context=8, seed=0)
        loss, norm = compute_gradients(model, batches, config, CPU, 1)
        found.append((loss, norm, [p.grad for p in model.parameters()]))
    (loss, norm, gradients), *others = found
    for other_loss, other_norm, other_gradients in others:
        assert other_loss == pytest.approx(loss, rel=1e-6)
        assert other_norm == pytest.approx(norm, rel=1e-5)
        for one, other in zip(gradients, other_gradients, strict=True):
            torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-7)


def test_a_step_of_several_batches_counts_all_its_tokens() -> None:
    trainer = make_trainer(grad_accum=3, steps=2)
    assert [e.tokens for e in steps(list(trainer.run()))] == [96, 192]
    assert trainer.progress.tokens == 192


def test_every_batch_of_a_step_has_its_own_dropout() -> None:
    witness = Witness()
    list(make_trainer(witness, grad_accum=3, steps=2).run())
    assert len(set(witness.throws)) == len(witness.throws) == 6


def test_dropout_is_drawn_from_seed_and_step() -> None:
    """Whatever the global generator did before."""
    runs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        trainer = make_trainer(tiny_model(dropout=0.5))
        found = []
        for event in trainer.run():
            torch.rand(seed)
            found += [event.loss] if isinstance(event, StepCompleted) else []
        runs.append(found)
    assert runs[0] == runs[1]
    assert runs[0] != [e.loss for e in steps(list(make_trainer().run()))]


class Witness(nn.Module):
    """Throws the dice where dropout would, and remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.model, self.throws = tiny_model(), []

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.throws.append(torch.rand(1).item())
        return self.model(ids)


def test_every_step_and_every_seed_has_its_own_dropout() -> None:
    throws = []
    for seed in (0, 1):
        witness = Witness()
        list(make_trainer(witness, seed=seed).run())
        throws += witness.throws
    assert len(set(throws)) == len(throws) == 16
