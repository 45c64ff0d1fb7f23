"""Checkpoints: whole or not at all, the right ones kept, damage told in a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.config import TrainConfig
from core.errors import CheckpointError
from core.model.transformer import Transformer
from core.store.checkpoint import load_moments, load_weights, save_checkpoint
from core.store.run import Run, create_run
from core.testing import tiny_model, tiny_run_config
from core.training.optimizer import Optimizer, make_optimizer

CONFIG = TrainConfig(steps=1)
HINT = "Use another one: tiny@STEP."


@pytest.fixture
def run() -> Run:
    return create_run("tiny", tiny_run_config("x.txt"), {}, "{}")


def trained(seed: int = 0, **switches: Any) -> tuple[Transformer, Optimizer]:
    model = tiny_model(seed=seed, **switches)
    optimizer = make_optimizer(model, CONFIG)
    for _ in range(2):
        model(torch.arange(20)[None]).square().sum().backward()
        optimizer.step(1e-3)
    return model, optimizer


def save(run: Run, step: int, loss: float | None = None, **switches: Any) -> Path:
    validation = None if loss is None else {"loss": loss, "bits_per_byte": loss}
    return save_checkpoint(run, step, *trained(**switches), {"validation": validation})


def refused(work: Callable[[], Any]) -> str:
    with pytest.raises(CheckpointError) as caught:
        work()
    assert caught.value.hint == HINT
    return str(caught.value)


@pytest.mark.parametrize("switches", [{}, {"tied_head": True, "positions": "learned"}])
def test_what_was_saved_comes_back_bit_for_bit(run: Run, switches: dict[str, Any]) -> None:
    model, optimizer = trained(**switches)
    save_checkpoint(run, 2, model, optimizer, {})
    again = tiny_model(seed=9, **switches)
    moments = make_optimizer(again, CONFIG)
    load_weights(run, 2, again)
    load_moments(run, 2, moments)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, dict(again.named_parameters())[name]), name
    for name, tensor in optimizer.state().items():
        assert torch.equal(tensor, moments.state()[name]), name
    assert moments.state()["embedding.weight.step"] == 2


def test_a_checkpoint_is_numbers_and_json_alone(run: Run) -> None:
    path = save(run, 2)
    assert path == run.path / "checkpoints" / "step-00000002"
    assert sorted(p.name for p in path.iterdir()) == [
        "model.safetensors",
        "state.json",
        "state.safetensors",
    ]
    assert set(load_file(path / "model.safetensors")) == {
        name for name, _ in tiny_model().named_parameters()
    }


def test_the_last_two_and_the_best_are_kept(run: Run) -> None:
    kept = []
    for step, loss in ((0, None), (1, 3.0), (2, 1.0), (3, 2.0), (4, None), (5, 0.5), (6, 4.0)):
        save(run, step, loss)
        kept.append(run.checkpoint_steps())
    assert kept == [[0], [0, 1], [1, 2], [2, 3], [2, 3, 4], [4, 5], [5, 6]]
    assert list((run.path / "checkpoints").glob(".partial-*")) == []


def test_a_failed_save_leaves_no_checkpoint(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    save(run, 1)

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.store.checkpoint.write_synced", fail)
    with pytest.raises(OSError, match="No space left"):
        save(run, 2)
    assert [p.name for p in (run.path / "checkpoints").iterdir()] == ["step-00000001"]


def test_a_checkpoint_that_is_there_is_not_written_again(run: Run) -> None:
    path = save(run, 1)
    before = (path / "model.safetensors").stat().st_mtime_ns
    save(run, 1)
    assert (path / "model.safetensors").stat().st_mtime_ns == before


def change(path: Path, edit: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda t: t.pop("head.weight"), "head.weight is missing"),
        (lambda t: t.update(x=torch.zeros(1)), "x is not part of the model"),
        (
            lambda t: t.update({"head.weight": torch.zeros(3, 2)}),
            "head.weight is (3, 2), not (31, 32)",
        ),
    ],
)
def test_weights_of_another_model_are_refused(run: Run, edit: Any, what: str) -> None:
    change(save(run, 1) / "model.safetensors", edit)
    model = tiny_model()
    before = model.head.weight.detach().clone()
    message = refused(lambda: load_weights(run, 1, model))
    assert message == f"The checkpoint at step 1 of tiny does not fit: {what}."
    assert torch.equal(model.head.weight, before), "a refused checkpoint must change nothing"


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda t: t.pop("head.weight.exp_avg"), "head.weight.exp_avg is missing"),
        (
            lambda t: t.update({"head.weight.exp_avg_sq": torch.zeros(2)}),
            "head.weight.exp_avg_sq is (2,), not (31, 32)",
        ),
    ],
)
def test_moments_of_another_model_are_refused(run: Run, edit: Any, what: str) -> None:
    change(save(run, 1) / "state.safetensors", edit)
    message = refused(lambda: load_moments(run, 1, make_optimizer(tiny_model(), CONFIG)))
    assert message == f"The checkpoint at step 1 of tiny does not fit: {what}."


def test_moments_of_another_optimiser_are_refused(run: Run) -> None:
    """Those of checkpoints that do not say of which they are, are AdamW's."""
    path = save(run, 1)
    muon = make_optimizer(tiny_model(), TrainConfig(optimizer="muon"))
    for _ in range(2):
        with pytest.raises(CheckpointError) as caught:
            load_moments(run, 1, muon)
        assert str(caught.value) == (
            "The checkpoint at step 1 of tiny keeps what adamw needs, and optimizer=muon."
        )
        assert caught.value.hint == (
            "Set optimizer to adamw in its run.toml, or begin anew with its weights: minitf"
            " train --init-from tiny@1"
        )
        state = json.loads((path / "state.json").read_text())
        state.pop("optimizer", None)
        (path / "state.json").write_text(json.dumps(state))
    load_moments(run, 1, make_optimizer(tiny_model(), CONFIG))


@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "rubbish"])
def test_a_damaged_file_is_refused(run: Run, name: str, damage: str) -> None:
    path = save(run, 1) / name
    data = path.read_bytes()
    spoiled = {"empty": b"", "cut": data[: len(data) // 2], "rubbish": b"\xff" * 100}
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(spoiled[damage])

    def load() -> None:
        if name == "model.safetensors":
            load_weights(run, 1, tiny_model())
        else:
            load_moments(run, 1, make_optimizer(tiny_model(), CONFIG))

    message = refused(load)
    assert message.startswith(f"The checkpoint at step 1 of tiny does not fit: {name}: ")
