"""A run that begins with the weights of another one: fine-tuning."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core import api, paths, recipes
from core.config import RunConfig
from core.errors import MinitfError, RunError
from core.store import start as start_module
from core.store.find import find_run
from core.store.metrics import read_metrics
from core.store.start import fingerprint, write_start
from core.testing import tiny_run_config

torch.set_num_threads(1)


@pytest.fixture
def config(text_file: str) -> RunConfig:
    return tiny_run_config(text_file, dropout=0.2)


@pytest.fixture
def other_text(tmp_path: Path) -> str:
    path = tmp_path / "hills.txt"
    path.write_text("".join(f"Hill {i} is {i * 7} high, and green.\n" for i in range(200)))
    return str(path)


def weights(name: str, file: str) -> dict[str, torch.Tensor]:
    return load_file(paths.runs_dir() / name / file)


def equal(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def losses(name: str) -> list[tuple[int, float]]:
    events = read_metrics(paths.runs_dir() / name)
    return [(e["step"], e["loss"]) for e in events if e["event"] == "StepCompleted"]


LAST = "checkpoints/step-00000004/model.safetensors"


def test_a_run_begins_with_the_weights_the_model_and_the_tokenizer_of_another(
    config: RunConfig, other_text: str
) -> None:
    api.train(config.with_changes(tokenizer="bpe", vocab_size=280), name="base")
    api.train("quick", name="tuned", init_from="base@2", corpus=other_text, steps=4, threads=1)
    base, tuned = find_run("base").run, find_run("tuned").run
    start = "checkpoints/step-00000002/model.safetensors"
    assert equal(weights("tuned", "init.safetensors"), weights("base", start))
    assert not equal(weights("tuned", LAST), weights("base", start))
    assert tuned.tokenizer_path.read_bytes() == base.tokenizer_path.read_bytes()
    assert tuned.config.model == base.config.with_changes(dropout=0.0).model
    assert tuned.config.model.vocab_size == 280
    assert (tuned.config.text.tokenizer, tuned.config.text.vocab_size) == ("bpe", 280)
    assert (tuned.config.text.corpus, tuned.config.train.context) == (other_text, 32)
    assert tuned.provenance["init_from"] == "base@2"


@pytest.fixture
def tuned(config: RunConfig, other_text: str) -> RunConfig:
    """What "tuned", begun from "base", is trained with; its first checkpoints are dropped."""
    api.train(config, name="base")
    changed = config.with_changes(corpus=other_text, steps=8, eval_interval=0)
    api.train(changed, name="tuned", init_from="base")
    assert 0 not in find_run("tuned").run.checkpoint_steps()
    return changed


END = "checkpoints/step-00000008/model.safetensors"


def test_it_is_replayed_from_those_weights_though_its_first_checkpoints_are_gone(
    tuned: RunConfig,
) -> None:
    api.replay("tuned", name="again")
    api.replay("again", name="third")
    for name in ("again", "third"):
        assert losses(name) == losses("tuned")
        assert equal(weights(name, END), weights("tuned", END))
    kept = [find_run(name).run.provenance for name in ("tuned", "again")]
    assert [p["init_from"] for p in kept] == ["base@4", "base@4"]
    assert kept[0]["init_sha256"] == kept[1]["init_sha256"]


@pytest.mark.parametrize("stopped_at", [0, 1, 5])
def test_it_is_resumed_bit_for_bit(tuned: RunConfig, stopped_at: int) -> None:
    session = recipes.training(tuned, name="halved", init_from="base")
    events = session.run()
    for event in events:
        if getattr(event, "step", None) == stopped_at and type(event).__name__ == (
            "StepCompleted" if stopped_at else "RunStarted"
        ):
            break
    events.close()
    assert find_run("halved").step == stopped_at
    api.resume("halved")
    assert losses("halved") == losses("tuned")
    assert equal(weights("halved", END), weights("tuned", END))


def test_weights_that_are_gone_or_others_make_no_replay(tuned: RunConfig) -> None:
    path = find_run("tuned").run.path / "init.safetensors"
    changed = {name: tensor + 1 for name, tensor in load_file(path).items()}
    path.unlink()
    for why in ("No such file or directory", "they have changed"):
        with pytest.raises(RunError) as caught:
            api.replay("tuned", name="again")
        message = str(caught.value)
        assert message.startswith("The weights that tuned began with cannot be read: ")
        assert why in message
        assert caught.value.hint == "Restore its init.safetensors."
        assert not (paths.runs_dir() / "again").exists()
        save_file(changed, path)


def test_a_return_to_the_first_step_begins_with_fresh_moments(
    tuned: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imported weights have no file of moments; those of the steps undone must not stay."""
    from core.store.checkpoint import load_moments
    from core.training.optimizer import make_optimizer

    run = find_run("tuned").run
    write_start(run.path, weights("tuned", "init.safetensors"))
    model = torch.nn.Linear(2, 2)
    optimizer = make_optimizer(model, tuned.train)
    model(torch.ones(2)).sum().backward()
    optimizer.step(0.1)
    load_moments(run, 0, optimizer)
    assert all(not tensor.any() for tensor in optimizer.state().values())


def refused(**changes: Any) -> tuple[str, str]:
    with pytest.raises(MinitfError) as caught:
        api.train("quick", name="tuned", init_from="base", threads=1, **changes)
    assert not (paths.runs_dir() / "tuned").exists()
    return str(caught.value), caught.value.hint


def test_what_contradicts_the_other_run_is_refused(config: RunConfig, other_text: str) -> None:
    api.train(config, name="base")
    assert refused(d_model=64) == (
        "d_model=64 does not go with base, which has d_model=16.",
        "Leave it out: a run that begins with another's weights has its shape.",
    )
    assert refused(context=33) == (
        "context=33 is longer than the 32 positions that base holds.",
        "Try context=32.",
    )
    for name, value in (("tokenizer", "byte"), ("vocab_size", 300)):
        assert refused(**{name: value}) == (
            f"{name}={value} cannot be chosen: the tokenizer is that of base.",
            "Leave it out.",
        )
    assert refused(corpus="nowhere.txt")[0].startswith("There is no")
    same = {"d_model": 16, "dropout": 0.1, "context": 8, "corpus": other_text, "steps": 1}
    api.train("quick", name="tuned", init_from="base", threads=1, **same)
    base = find_run("base").run.config
    assert find_run("tuned").run.config.model == base.with_changes(dropout=0.1).model


def test_a_checkpoint_that_is_dropped_while_it_is_read_is_looked_for_again(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core import starts
    from core.store.files import remove_folder

    api.train(config, name="base")
    run, found = find_run("base").run, []
    read = starts.read_weights

    def dropping(run: Any, step: int) -> Any:
        found.append(step)
        if len(found) == 1:
            remove_folder(run.checkpoint_path(step))
        return read(run, step)

    monkeypatch.setattr(starts, "read_weights", dropping)
    assert starts.find_start("base").ref.step == 2
    assert found == [4, 2]
    (run.checkpoint_path(2) / "model.safetensors").write_bytes(b"")
    with pytest.raises(MinitfError, match="The checkpoint at step 2 of base does not fit"):
        starts.find_start("base")


def test_a_run_of_fresh_weights_keeps_none(config: RunConfig) -> None:
    api.train(config, name="base")
    run = find_run("base").run
    assert start_module.read_start(run) is None
    assert not (run.path / "init.safetensors").exists()
    assert "init_sha256" not in run.provenance


def test_the_weights_are_on_disk_once_and_are_copied_where_there_are_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {"a": torch.arange(6.0).reshape(2, 3)}
    first = "checkpoints/step-00000000/model.safetensors"
    write_start(tmp_path / "linked", tensors)
    assert (tmp_path / "linked" / first).samefile(tmp_path / "linked" / "init.safetensors")

    def refuse(*_: Any) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    write_start(tmp_path / "copied", tensors)
    both = [(tmp_path / "copied" / name).read_bytes() for name in (first, "init.safetensors")]
    assert both[0] == both[1] == (tmp_path / "linked" / first).read_bytes()


def test_the_fingerprint_knows_names_shapes_and_numbers() -> None:
    a = torch.arange(6.0)
    known = fingerprint({"a": a, "b": a})
    assert fingerprint({"b": a.clone(), "a": a}) == known
    for other in (
        {"a": a, "c": a},
        {"a": a, "b": a.reshape(2, 3)},
        {"a": a, "b": a + 1e-6},
        {"a": a},
    ):
        assert fingerprint(other) != known
