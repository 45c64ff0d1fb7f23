"""Two processes on one run: one of them is told so in a sentence, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core import open_run, recipes
from core.config import BenchConfig, RunConfig
from core.errors import CheckpointError, MinitfError, RunError
from core.events import EvaluationCompleted, ReportFailed
from core.store import files, run
from core.store.files import FileLock, locked, remove_folder
from core.store.find import find_run
from core.store.metrics import read_metrics
from core.store.run import Run, delete_run
from core.store.summary import list_runs
from core.testing import tiny_run_config

ROOT = Path(__file__).parents[2]
TINY = [
    *("--d-model", "16", "--n-layers", "1", "--n-heads", "2", "--context", "16"),
    *("--batch-size", "2", "--tokenizer", "byte", "--threads", "1", "--sample-tokens", "4"),
    *("--checkpoint-interval", "1", "--eval-interval", "1", "--seconds", "600"),
]


BENCH = BenchConfig(n=2, reps=1, warmup=0, seconds=0, prompt_tokens=2)


@pytest.fixture
def config(text_file: str) -> RunConfig:
    return tiny_run_config(text_file).with_changes(steps=4, checkpoint_interval=2)


@pytest.fixture
def tiny(config: RunConfig) -> Run:
    """A run that is finished."""
    for _ in recipes.training(config, name="tiny").run():
        pass
    return find_run("tiny").run


def refusal(session: Any) -> MinitfError:
    with pytest.raises(MinitfError) as caught:
        list(session.run())
    return caught.value


@pytest.mark.slow
def test_beside_a_trainer_that_drops_old_checkpoints(text_file, config):
    """A real one, which saves at every step."""
    words = ["train", "--corpus", text_file, "--name", "tiny", "--json", *TINY]
    trainer = subprocess.Popen(
        [sys.executable, "-m", "minitf_tui", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    with trainer:
        try:
            assert trainer.stderr is not None
            assert any(line.startswith("step 2:") for line in trainer.stderr)
            in_use = "The run tiny is in use by another minitf."
            hint = "Wait for it to end, or stop it there."
            error = refusal(recipes.resuming("tiny"))
            assert (str(error), error.hint) == (in_use, hint)
            with pytest.raises(RunError, match=in_use):
                delete_run(find_run("tiny").run)
            taken = refusal(recipes.training(config, name="tiny"))
            assert str(taken) == "A run named 'tiny' exists already."
            assert [summary.state for summary in list_runs()] == ["running"]
            for spec in ("tiny", "last", "best") * 3:
                *_, done = recipes.evaluation(spec, threads=1).run()
                assert isinstance(done, EvaluationCompleted)
        finally:
            trainer.send_signal(signal.SIGINT)
            out, err = trainer.communicate()
    assert trainer.returncode == 130, err
    steps = json.loads(out)["steps"]
    assert find_run("tiny").step == steps
    events = read_metrics(find_run("tiny").run.path)
    told = [e["step"] for e in events if e["event"] == "StepCompleted"]
    assert told == list(range(1, steps + 1))
    assert len(find_run("tiny").run.reports("evaluations")) == 9


def test_a_checkpoint_that_is_dropped_while_it_is_read_is_looked_for_again(
    tiny: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, tried = open_run.load_weights, []

    def pruned_first(where: Run, step: int, into: Any) -> None:
        tried.append(step)
        if len(tried) == 1:
            saved = where.checkpoint_path(step)
            saved.rename(saved.with_name("step-00000009"))
            state = json.loads((where.checkpoint_path(9) / "state.json").read_bytes())
            (where.checkpoint_path(9) / "state.json").write_text(json.dumps(state | {"step": 9}))
        load(where, step, into)

    monkeypatch.setattr(open_run, "load_weights", pruned_first)
    found = open_run.open_for_use("tiny", device="cpu", dtype="auto", threads=1)
    assert (tried, found.step) == ([4, 9], 9)


def test_a_checkpoint_that_was_named_and_is_dropped_is_not_there(
    tiny: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pruned(where: Run, step: int, into: Any) -> None:
        remove_folder(where.checkpoint_path(step))
        load(where, step, into)

    load = open_run.load_weights
    monkeypatch.setattr(open_run, "load_weights", pruned)
    with pytest.raises(CheckpointError, match="The run tiny has no checkpoint '2'"):
        open_run.open_for_use("tiny@2", device="cpu", dtype="auto", threads=1)


def test_a_checkpoint_that_is_damaged_is_not_looked_for_again(
    tiny: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tiny.checkpoint_path(4) / "model.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="The checkpoint at step 4 of tiny does not fit"):
        open_run.open_for_use("tiny", device="cpu", dtype="auto", threads=1)


def test_a_run_that_is_removed_while_its_lock_is_waited_for_is_gone(tiny: Run) -> None:
    """What was opened before the removal can be locked, but it is no run's any more."""
    lock = FileLock(tiny.path / "lock")
    with pytest.MonkeyPatch.context() as patch:
        take = files._lock

        def removed_first(file: Any) -> None:
            remove_folder(tiny.path)
            take(file)

        patch.setattr(files, "_lock", removed_first)
        with pytest.raises(FileNotFoundError):
            lock.acquire()
    with (
        pytest.raises(RunError, match="The run tiny is not there any more") as caught,
        tiny.lock(),
    ):
        pass
    assert caught.value.hint == "minitf runs lists those that are."
    assert not tiny.path.exists()
    with pytest.raises(RunError, match="not there any more"):
        delete_run(tiny)
    assert str(refusal(recipes.resuming("tiny"))) == "There is no run 'tiny'."


def test_nobody_can_take_a_run_while_it_is_being_removed(
    tiny: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def remove(path: Path) -> None:
        with pytest.raises(RunError, match="in use by another minitf"), locked(path / "lock", "It"):
            pass
        tried.append(path)
        remove_folder(path)

    monkeypatch.setattr(run, "remove_folder", remove)
    delete_run(tiny)
    assert tried == [tiny.path]
    assert not tiny.path.exists()


def test_the_result_of_a_run_that_was_removed_is_told_all_the_same(
    tiny: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for session in (recipes.evaluation("tiny"), recipes.benchmarking("tiny", BENCH)):
        keep = Run.save_report

        def removed_first(self: Run, kind: str, report: Any, keep: Any = keep) -> Path:
            self.path.rename(self.path.with_name("elsewhere"))
            try:
                return keep(self, kind, report)
            finally:
                assert not self.path.exists()
                self.path.with_name("elsewhere").rename(self.path)

        with monkeypatch.context() as patch:
            patch.setattr(Run, "save_report", removed_first)
            *_, failed, done = session.run()
        assert isinstance(failed, ReportFailed)
        assert failed.reason == "The run tiny is not there any more."
        assert done.run == "tiny"
