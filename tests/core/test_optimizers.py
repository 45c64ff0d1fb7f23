"""Optimisers against references of other hands: PyTorch's own, and the papers in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.config import TrainConfig
from core.config.train import OPTIMIZERS
from core.model import arithmetic
from core.model.kinds import kind_of, moment_shapes
from core.testing import MODEL_SWITCHES, tiny_model, tiny_model_config
from core.training.muon import COEFFICIENTS, orthogonalized
from core.training.optimizer import make_optimizer

RATES = (0.02, 0.05, 0.01)
GROUP_RATES = {"matrix_lr": 0.4, "embedding_lr": 0.2, "head_lr": 0.05, "vector_lr": 0.1}
LR = 0.1
Matrix = NDArray[np.float64]


def config(optimizer: str, **changes: Any) -> TrainConfig:
    return TrainConfig(optimizer=optimizer, lr=LR, weight_decay=0.3, **changes)


def train(model: nn.Module, step: Callable[[float], None]) -> None:
    """A few steps at `RATES`, with gradients that depend on the weights."""
    for n, lr in enumerate(RATES):
        model.zero_grad()
        model(torch.arange(20)[None] + n).square().mean().backward()
        step(lr)


def trained(optimizer: str, **changes: Any) -> nn.Module:
    model = tiny_model(bias=True)
    train(model, make_optimizer(model, config(optimizer, **changes)).step)
    return model


def by_kind(model: nn.Module, rates: dict[str, float]) -> list[dict[str, Any]]:
    """Groups as PyTorch wants them; `ratio` is ours."""
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        kind = kind_of(name, parameter.dim())
        decay = 0.0 if kind == "vector" else 0.3
        ratio = rates.get(f"{kind}_lr", LR) / LR
        group = groups.setdefault(kind, {"params": [], "weight_decay": decay, "ratio": ratio})
        group["params"].append(parameter)
    return list(groups.values())


def theirs(make: Callable[..., Any], rates: dict[str, float]) -> nn.Module:
    """What PyTorch's optimiser makes of the same model."""
    model = tiny_model(bias=True)
    optimizer = make(by_kind(model, rates))

    def step(lr: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = lr * group["ratio"]
        optimizer.step()

    train(model, step)
    return model


@pytest.mark.parametrize("rates", [{}, GROUP_RATES])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("adamw", lambda g: torch.optim.AdamW(g, betas=(0.9, 0.95), fused=True)),
        ("sgd", lambda g: torch.optim.SGD(g, momentum=0.8, foreach=True)),
    ],
)
def test_steps_are_pytorchs_bit_for_bit(name: str, make: Any, rates: dict[str, float]) -> None:
    ours = trained(name, momentum=0.8, **rates)
    for one, other in zip(ours.parameters(), theirs(make, rates).parameters(), strict=True):
        assert torch.equal(one, other)


def test_lion_is_the_algorithm_of_its_paper() -> None:
    model = tiny_model(bias=True)
    weights = {n: p.detach().numpy().astype(float) for n, p in model.named_parameters()}
    means = {n: np.zeros_like(w) for n, w in weights.items()}
    optimizer = make_optimizer(model, config("lion", beta1=0.9, beta2=0.98, **GROUP_RATES))

    def step(lr: float) -> None:
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            gradient, mean = parameter.grad.numpy().astype(float), means[name]
            kind = kind_of(name, parameter.dim())
            rate = lr * GROUP_RATES[f"{kind}_lr"] / LR
            decay = 0.0 if kind == "vector" else 0.3
            update = np.sign(0.9 * mean + (1 - 0.9) * gradient)
            weights[name] -= rate * (update + decay * weights[name])
            means[name] = 0.98 * mean + (1 - 0.98) * gradient
        optimizer.step(lr)

    train(model, step)
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(parameter.detach(), weights[name], rtol=1e-4, atol=1e-6)


def best_quintic(low: float, high: float) -> tuple[list[float], float]:
    """The odd quintic nearest to 1 on an interval, and its greatest error: by Remez' exchange."""
    turns = [(3 * low + high) / 4, (low + 3 * high) / 4]
    for _ in range(50):
        x = np.array([low, *turns, high])
        system = np.stack([x, x**3, x**5, [1, -1, 1, -1]], axis=1)
        a, b, c, error = np.linalg.solve(system, np.ones(4)).tolist()
        turns = np.sqrt(np.sort(np.roots([5 * c, 3 * b, a]))).tolist()
    return [a, b, c], abs(error)


def best_quintics() -> list[list[float]]:
    """Four, each for what the ones before leave of singular values in [0.003, 1]."""
    low, high, found = 0.003, 1.0, []
    for n in range(4):
        coefficients, error = best_quintic(low, high)
        low, high, safety = 1 - error, 1 + error, 1.01 if n < 3 else 1.0
        found.append([v / safety**p for v, p in zip(coefficients, (1, 3, 5), strict=True)])
    return found


def test_the_coefficients_are_the_best_ones() -> None:
    np.testing.assert_allclose(COEFFICIENTS, best_quintics(), atol=6e-5)


def newton_schulz(matrix: Matrix) -> Matrix:
    """As Jordan et al. write it, with other coefficients, of one matrix, in float64."""
    norm = (np.linalg.svd(matrix, compute_uv=False) ** 4).sum() ** 0.25
    x = matrix / (norm + 1e-20)
    x = x.T if matrix.shape[0] > matrix.shape[1] else x
    for a, b, c in COEFFICIENTS:
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


@pytest.mark.parametrize("shape", [(16, 16), (16, 64), (5, 7), (1, 9)])
def test_a_stack_is_orthogonalised_as_its_matrices_are_one_by_one(shape: tuple[int, int]) -> None:
    """Also of such as have few directions, or sizes far from 1."""
    draw = np.random.default_rng(0)
    matrices = draw.normal(size=(4, *shape)) * np.array([1, 1e-2, 1e5, 1])[:, None, None]
    matrices[3] = np.outer(draw.normal(size=shape[0]), draw.normal(size=shape[1]))
    found = orthogonalized(torch.tensor(matrices, dtype=torch.float32))
    for matrix, one in zip(matrices, found.numpy(), strict=True):
        np.testing.assert_allclose(one, newton_schulz(matrix), atol=2e-4)


@pytest.mark.parametrize(("dtype", "far"), [(torch.float32, 0.21), (torch.bfloat16, 0.26)])
def test_singular_values_become_about_one_and_zero_stays(dtype: torch.dtype, far: float) -> None:
    dice = torch.Generator().manual_seed(0)
    matrices = torch.randn(4, 24, 80, generator=dice)
    matrices[2] = 0
    matrices[3] = matrices[3, :, :1] * matrices[3, :1]  # the one that is largest, beside nothing
    values = torch.linalg.svdvals(orthogonalized(matrices, dtype))
    assert (values[:2] - 1).abs().max() < far
    assert not values[2].any()
    assert abs(values[3, 0] - 1) < far


def test_all_directions_of_a_square_matrix_are_brought_near_one() -> None:
    """Closer to 1 than Jordan's five iterations bring them, by the mean square of what is left."""
    matrices = torch.randn(8, 64, 64, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(matrices)
    theirs = values / values.norm(dim=1, keepdim=True)
    for _ in range(5):
        theirs = 3.4445 * theirs - 4.7750 * theirs**3 + 2.0315 * theirs**5
    ours = torch.linalg.svdvals(orthogonalized(matrices))
    assert (ours - 1).square().mean() < (theirs - 1).square().mean()


def orthogonal_step(name: str, momentum: Matrix, rows: int) -> Matrix:
    """Of a whole matrix, or of each of its pieces; of the size that AdamW's has."""
    writes = name.endswith(("o_proj.weight", "down_proj.weight"))
    matrix = momentum.T if writes else momentum
    n_pieces = len(matrix) // rows if rows else 1
    found = np.concatenate([newton_schulz(piece) for piece in np.split(matrix, n_pieces)])
    found *= 0.2 * math.sqrt(max(len(matrix) // n_pieces, matrix.shape[1]))
    return found.T if writes else found


@pytest.mark.parametrize("rows", [0, 8, 64])
def test_muon_is_the_algorithm_of_its_papers_and_adamw_for_the_rest(rows: int) -> None:
    """Pieces of 8 rows are heads; of 64 rows there are some in the feed-forward only."""
    model = tiny_model(bias=True)
    weights = {n: p.detach().numpy().astype(float) for n, p in model.named_parameters()}
    momenta = {n: np.zeros_like(w) for n, w in weights.items()}
    optimizer = make_optimizer(model, config("muon", momentum=0.9, muon_rows=rows, **GROUP_RATES))

    def step(lr: float) -> None:
        for name, parameter in model.named_parameters():
            if kind_of(name, parameter.dim()) != "matrix":
                continue
            assert parameter.grad is not None
            gradient = parameter.grad.numpy().astype(float)
            momenta[name] = 0.9 * momenta[name] + 0.1 * gradient
            n_rows = rows if max(gradient.shape) >= rows else 0
            update = orthogonal_step(name, 0.9 * momenta[name] + 0.1 * gradient, n_rows)
            rate = lr * GROUP_RATES["matrix_lr"] / LR
            weights[name] *= 1 - rate * 0.3
            weights[name] -= rate * update
        optimizer.step(lr)

    train(model, step)
    names = [n for n, p in model.named_parameters() if kind_of(n, p.dim()) == "matrix"]
    assert len(names) == 12
    for name in names:
        parameter = model.get_parameter(name).detach()
        np.testing.assert_allclose(parameter, weights[name], rtol=1e-3, atol=1e-3)


def test_beside_muon_the_rest_has_adamw() -> None:
    """Of one step: then matrices differ, and gradients with them."""
    found = []
    for name in ("muon", "adamw"):
        model = tiny_model(bias=True)
        model(torch.arange(20)[None]).square().mean().backward()
        make_optimizer(model, config(name, **GROUP_RATES)).step(0.1)
        found.append(dict(model.named_parameters()))
    for name, parameter in found[0].items():
        is_other = kind_of(name, parameter.dim()) != "matrix"
        assert torch.equal(parameter, found[1][name]) == is_other, name


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this PyTorch has no Muon")
def test_muon_takes_the_step_of_pytorchs() -> None:
    """Which here iterates until all singular values are 1; ours are within a fifth of it."""
    ours, other = (nn.ModuleDict({"blocks": nn.Linear(24, 16, bias=False)}) for _ in range(2))
    other.load_state_dict(ours.state_dict())
    weights = [m["blocks"].weight for m in (ours, other)]
    muon = torch.optim.Muon(
        [weights[1]],
        momentum=0.95,
        weight_decay=0.3,
        adjust_lr_fn="match_rms_adamw",
        ns_coefficients=(1.5, -0.5, 0.0),
        ns_steps=25,
    )
    mine = make_optimizer(ours, config("muon"), dtype="bfloat16")
    generator = torch.Generator().manual_seed(0)
    for lr in RATES:
        before = [w.detach().clone() for w in weights]
        gradient = torch.randn(16, 24, generator=generator)
        for weight in weights:
            weight.grad = gradient.clone()
        for group in muon.param_groups:
            group["lr"] = lr
        mine.step(lr)
        muon.step()
        taken = [w.detach() - b for w, b in zip(weights, before, strict=True)]
        assert (taken[0] - taken[1]).norm() < 0.2 * taken[1].norm()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    "switches", [{}, {"tied_head": True, "bias": True}, MODEL_SWITCHES["llama"]]
)
def test_what_is_kept_is_what_arithmetic_says(optimizer: str, switches: dict[str, Any]) -> None:
    model = tiny_model(**switches)
    state = make_optimizer(model, config(optimizer, muon_rows=8)).state()
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert {n: tuple(t.shape) for n, t in state.items()} == moment_shapes(shapes, optimizer)
    kept = sum(t.numel() for n, t in state.items() if not n.endswith(".step"))
    assert kept == arithmetic.count_moments(tiny_model_config(**switches), optimizer)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_after_loading_is_the_step_it_would_have_been(optimizer: str) -> None:
    model = tiny_model()
    one = make_optimizer(model, config(optimizer))
    train(model, one.step)
    twin = tiny_model()
    twin.load_state_dict(model.state_dict())
    other = make_optimizer(twin, config(optimizer))
    other.load_state({name: tensor.clone() for name, tensor in one.state().items()})
    train(model, one.step)
    train(twin, other.step)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_gradients_are_only_read_and_a_missing_one_is_a_mistake(optimizer: str) -> None:
    model = tiny_model()
    rule = make_optimizer(model, config(optimizer))
    with pytest.raises(RuntimeError, match="a parameter has no gradient"):
        rule.step(0.1)
    model(torch.arange(9)[None]).square().mean().backward()
    before = [_gradient(p).clone() for p in model.parameters()]
    rule.step(0.1)
    assert all(map(torch.equal, before, map(_gradient, model.parameters())))


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


@pytest.mark.parametrize(
    ("name", "n_dims", "kind"),
    [
        ("embedding.weight", 2, "embedding"),
        ("position_table", 2, "embedding"),
        ("head.weight", 2, "head"),
        ("blocks.0.attention.q_proj.weight", 2, "matrix"),
        ("blocks.0.attention.q_proj.bias", 1, "vector"),
        ("blocks.0.value_embedding.weight", 2, "embedding"),
        ("final_norm.weight", 1, "vector"),
    ],
)
def test_kinds(name: str, n_dims: int, kind: str) -> None:
    assert kind_of(name, n_dims) == kind
