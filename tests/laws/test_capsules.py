"""A run in a capsule goes on, and is replayed, on a machine that has nothing else of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core import api, recipes
from core.config import RunConfig
from core.events import Agreement, ImportCompleted, TokenizationCompleted
from core.store.find import find_run
from core.store.rates import given_rates
from core.testing import tiny_run_config


@pytest.fixture
def config(text_file: str) -> RunConfig:
    return tiny_run_config(
        text_file, dropout=0.2, steps=6, checkpoint_interval=4, eval_interval=3, sample_interval=0
    )


def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text_file: str) -> None:
    """Another machine: no runs, no cache, no text."""
    monkeypatch.setenv("MINITF_HOME", str(tmp_path / "elsewhere"))
    Path(text_file).unlink()


def carry(run: str, path: Path) -> Path:
    for _ in recipes.exporting(run, format="capsule", out=path).run():
        pass
    return path


def restore(path: Path, name: str | None = None) -> None:
    *_, last = recipes.importing(path, name=name).run()
    assert isinstance(last, ImportCompleted)


@pytest.mark.parametrize(
    ("tokenizer", "optimizer"), [("byte", "muon"), ("char", "lion"), ("bpe", "adamw")]
)
def test_a_restored_run_is_resumed_bit_for_bit(
    config: RunConfig,
    equality: Any,
    tmp_path: Path,
    text_file: str,
    monkeypatch: pytest.MonkeyPatch,
    tokenizer: str,
    optimizer: str,
) -> None:
    config = config.with_changes(tokenizer=tokenizer, vocab_size=280, optimizer=optimizer)
    equality.train(config, "run")
    path = carry("run", tmp_path / "run.tar.gz")
    api.resume("run", steps=12)
    run = find_run("run").run
    whole = (equality.story(run), equality.tensors(run))

    elsewhere(monkeypatch, tmp_path, text_file)
    restore(path)
    assert api.resume("run", steps=12).steps == 12
    run = find_run("run").run
    assert run.path.is_relative_to(tmp_path / "elsewhere")
    assert (equality.story(run), equality.tensors(run)) == whole


def test_it_is_replayed_from_the_file_alone(
    config: RunConfig,
    equality: Any,
    tmp_path: Path,
    text_file: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the replay is one that can be carried on itself."""
    run = equality.train(config, "run")
    whole = (equality.story(run), equality.tensors(run))
    path = carry("run", tmp_path / "run.tar.gz")

    elsewhere(monkeypatch, tmp_path, text_file)
    result = api.replay(str(path), name="again")
    assert result.agreement == Agreement(steps=6, of=6, is_equal=True)
    again, restored = find_run("again").run, find_run("run").run
    assert (equality.story(again), equality.tensors(again)) == whole
    assert again.provenance["replay_of"] == "run"
    assert again.text_path.read_bytes() == restored.text_path.read_bytes()
    assert len(given_rates(again)) == 6

    elsewhere_still = carry("again", tmp_path / "again.tar.gz")
    monkeypatch.setenv("MINITF_HOME", str(tmp_path / "third"))
    third = api.replay(str(elsewhere_still), name="third")
    assert third.agreement == Agreement(steps=6, of=6, is_equal=True)


def test_it_is_scored_writes_and_is_timed_without_its_text_at_hand(
    config: RunConfig, tmp_path: Path, text_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.train(config, name="run")
    before = api.evaluate("run")
    path = carry("run", tmp_path / "run.tar.gz")
    elsewhere(monkeypatch, tmp_path, text_file)
    restore(path, "other")
    assert api.evaluate("other") == before
    assert len(api.generate("other", max_new_tokens=5, seed=1).tokens) == 5
    assert (
        api.benchmark("other", n=4, reps=2, warmup=0, seconds=0).cells[-1].proof.identical_tokens
        == 4
    )
    *_, last = recipes.tokenizing("other").run()
    assert isinstance(last, TokenizationCompleted)
    assert last.result.tokens > before.tokens


def test_a_run_that_is_called_like_a_file_is_meant_first(
    config: RunConfig, equality: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    equality.train(config.with_changes(steps=2), "run")
    monkeypatch.chdir(tmp_path)
    carry("run", tmp_path / "other")
    (tmp_path / "run").write_bytes((tmp_path / "other").read_bytes())
    api.replay("run", name="again")
    assert find_run("again").run.provenance["replay_of"] == "run"
    api.replay("other", name="third")
    assert find_run("third").run.provenance["replay_of"] == "other"
