"""A full disk costs nothing that was learned: training goes on, and what was kept stays."""

from __future__ import annotations

import errno
import math
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError
from safetensors.torch import save_file

from core import recipes
from core.config import RunConfig
from core.errors import StoreError
from core.events import (
    CheckpointFailed,
    CheckpointSaved,
    ReturnedToCheckpoint,
    RunFinished,
    StepCompleted,
)
from core.store import checkpoint
from core.store.files import write_atomically
from core.store.find import find_run
from core.store.metrics import MetricsWriter, read_metrics
from core.testing import tiny_model, tiny_run_config
from core.training import trainer as trainer_module

ROOT = Path(__file__).parents[2]


class Disk:
    """Where checkpoints go: full from step to step, or of a certain size."""

    def __init__(self) -> None:
        self.is_full = False
        self.capacity = sys.maxsize

    def save_file(self, tensors: dict[str, Any], path: Path, metadata: Any) -> None:
        save_file(tensors, path, metadata)
        used = sum(p.stat().st_size for p in path.parents[1].rglob("*.safetensors"))
        if self.is_full or used > self.capacity:
            path.write_bytes(path.read_bytes()[:1000])
            raise SafetensorError("I/O error: No space left on device (os error 28)")

    def write_atomically(self, path: Path, data: bytes) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_atomically(path, data)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    found = Disk()
    monkeypatch.setattr(checkpoint, "save_file", found.save_file)
    monkeypatch.setattr(checkpoint, "write_atomically", found.write_atomically)
    return found


@pytest.fixture
def config(text_file: str) -> RunConfig:
    return tiny_run_config(text_file).with_changes(
        steps=8, checkpoint_interval=2, eval_interval=0, sample_interval=0
    )


def pull(
    session: recipes.Session, at: dict[int, Callable[[], None]] | None = None
) -> tuple[list[Any], BaseException | None]:
    """All that it tells, doing something after some steps; and how it failed."""
    events = []
    try:
        for event in session.run():
            events.append(event)
            if isinstance(event, StepCompleted) and event.step in (at or {}):
                at[event.step]()
    except StoreError as error:
        return events, error
    return events, None


def weights(name: str) -> dict[str, bytes]:
    run = find_run(name).run
    folder = run.checkpoint_path(run.checkpoint_steps()[-1])
    return {p.name: p.read_bytes() for p in folder.glob("*.safetensors")}


def steps_told(name: str) -> list[int]:
    events = read_metrics(find_run(name).run.path)
    return [e["step"] for e in events if e["event"] == "StepCompleted"]


def test_training_goes_on_and_saves_as_soon_as_there_is_room(config, disk):
    pull(recipes.training(config, name="whole"))
    events, error = pull(
        recipes.training(config, name="tiny"),
        {3: lambda: setattr(disk, "is_full", True), 7: lambda: setattr(disk, "is_full", False)},
    )
    assert error is None
    assert isinstance(events[-1], RunFinished)
    told = [e for e in events if isinstance(e, CheckpointSaved | CheckpointFailed)]
    assert [(type(e), e.step) for e in told] == [
        *((CheckpointSaved, step) for step in (0, 2)),
        *((CheckpointFailed, step) for step in (4, 6)),
        (CheckpointSaved, 8),
    ]
    assert told[2] == CheckpointFailed(step=4, reason="No space left on device", kept_step=2)
    assert weights("tiny") == weights("whole")
    assert steps_told("tiny") == list(range(1, 9))
    folder = find_run("tiny").run.path / "checkpoints"
    assert {p.name for p in folder.iterdir()} <= {"step-00000002", "step-00000008"} | {
        "step-00000000"
    }


def test_without_room_to_the_end_the_last_whole_checkpoint_goes_on(config, disk):
    pull(recipes.training(config, name="whole"))
    events, error = pull(
        recipes.training(config, name="tiny"), {3: lambda: setattr(disk, "is_full", True)}
    )
    assert not any(isinstance(event, RunFinished) for event in events)
    assert str(error) == "The run tiny could not be saved at step 8: No space left on device."
    assert error.hint == "Step 2 is kept. Make room, then: minitf train --resume tiny"
    assert find_run("tiny").step == 2
    assert steps_told("tiny") == list(range(1, 9))
    disk.is_full = False
    _, error = pull(recipes.resuming("tiny"))
    assert error is None
    assert weights("tiny") == weights("whole")
    assert steps_told("tiny") == list(range(1, 9))


def test_where_not_even_the_first_checkpoint_fits_nothing_is_begun(config, disk):
    disk.is_full = True
    events, error = pull(recipes.training(config, name="tiny"))
    assert not any(isinstance(event, StepCompleted) for event in events)
    assert str(error) == "The run tiny could not be saved at step 0: No space left on device."
    assert error.hint == "No step is kept. Make room, then: minitf train --resume tiny"
    disk.is_full = False
    events, error = pull(recipes.resuming("tiny"))
    assert (error, find_run("tiny").step) == (None, 8)


def test_an_older_checkpoint_makes_room_for_a_newer_one(config, disk):
    """On a disk that holds two, the one before the last goes first, and none is missing."""
    pull(recipes.training(config, name="probe"))
    run = find_run("probe").run
    size = sum(p.stat().st_size for p in run.checkpoint_path(8).glob("*.safetensors"))
    disk.capacity = round(2.5 * size)
    events, error = pull(recipes.training(config.with_changes(steps=8), name="tiny"))
    assert error is None
    assert not any(isinstance(event, CheckpointFailed) for event in events)
    assert find_run("tiny").run.checkpoint_steps() == [6, 8]


def test_the_best_and_the_last_checkpoint_never_make_room(config, disk):
    _, error = pull(
        recipes.training(config.with_changes(eval_interval=2), name="tiny"),
        {7: lambda: setattr(disk, "is_full", True)},
    )
    assert error is not None
    run = find_run("tiny").run
    assert run.checkpoint_steps()[-1] == 6
    assert run.best_step() in run.checkpoint_steps()


def test_whoever_leaves_while_the_disk_is_full_just_leaves(config, disk):
    session = recipes.training(config, name="tiny").run()
    for event in session:
        if isinstance(event, StepCompleted) and event.step == 3:
            break
    disk.is_full = True
    session.close()
    assert find_run("tiny").step == 2


def test_what_the_system_says_keeps_its_number_and_its_place(disk, tmp_path):
    disk.is_full = True
    with pytest.raises(OSError, match="No space left on device") as caught:
        checkpoint.save_tensors(tmp_path / "x", {"a": next(tiny_model().parameters())})
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "x"))


def test_a_resumed_run_that_cannot_save_where_it_began_goes_on(config, disk):
    pull(recipes.training(config, name="whole"))
    pull(recipes.training(config.with_changes(steps=4), name="tiny"))
    session = recipes.resuming("tiny", steps=8)
    session.save()
    disk.is_full = True
    events, error = pull(session, {5: lambda: setattr(disk, "is_full", False)})
    assert error is None
    failed = [e for e in events if isinstance(e, CheckpointFailed)]
    assert failed == [CheckpointFailed(step=4, reason="No space left on device", kept_step=4)]
    assert weights("tiny") == weights("whole")


@pytest.fixture
def returning(config, disk, monkeypatch) -> RunConfig:
    """Diverges once, at step 5, when the disk has just become full; goes back to step 2."""
    take, is_bad = trainer_module.compute_gradients, iter([True])

    def compute(*given: Any) -> tuple[float, float]:
        loss, norm = take(*given)
        if given[-1] == 5 and next(is_bad, False):
            disk.is_full = True
            loss = math.nan
        return loss, norm

    monkeypatch.setattr(trainer_module, "compute_gradients", compute)
    return config.with_changes(on_divergence="return")


def test_a_return_that_cannot_be_saved_is_told_with_the_step_that_is_kept(returning, disk):
    events, error = pull(recipes.training(returning, name="tiny"))
    after = events[[type(e) for e in events].index(ReturnedToCheckpoint) :]
    assert [(e.step, e.kept_step) for e in after if isinstance(e, CheckpointFailed)] == [
        *((2, 2), (4, 2), (6, 2), (8, 2))
    ]
    assert isinstance(after[1], CheckpointFailed)
    kept = [e for e in read_metrics(find_run("tiny").run.path) if e["event"] == "CheckpointFailed"]
    assert [e["step"] for e in kept] == [2, 4, 6, 8]
    assert error.hint == "Step 2 is kept. Make room, then: minitf train --resume tiny"
    assert find_run("tiny").run.checkpoint_steps()[-1] == 2


def test_whoever_leaves_where_a_dropped_checkpoint_was_has_it_saved_again(returning, disk):
    session, has_returned = recipes.training(returning, name="tiny").run(), False
    for event in session:
        has_returned |= isinstance(event, ReturnedToCheckpoint)
        if has_returned and isinstance(event, StepCompleted) and event.step == 4:
            break
    disk.is_full = False
    session.close()
    assert find_run("tiny").step == 4


class Refusing:
    """A file on a disk with room for so many bytes."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: bytearray) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = int(self.file.write(data[: self.room]))
        self.room -= taken
        return taken

    def close(self) -> None:
        self.file.close()


@pytest.mark.parametrize("room", [0, 1, 100, 101, 1000])
def test_metrics_that_found_no_room_are_written_later_in_their_place(tmp_path, room):
    events = [
        StepCompleted(step=n, loss=1, lr=1, grad_norm=1, tokens=1, tokens_per_s=1, train_s=1)
        for n in range(1, 20)
    ]
    with MetricsWriter(tmp_path) as metrics:
        metrics._file = refusing = Refusing(metrics._file, room)
        for event in events[:-1]:
            metrics.write(event)
            told = [e["step"] for e in read_metrics(tmp_path)]
            assert told == list(range(1, len(told) + 1))
        refusing.room = sys.maxsize
        metrics.write(events[-1])
        assert [e["step"] for e in read_metrics(tmp_path)] == list(range(1, 20))


def test_metrics_that_found_no_room_are_written_at_the_end(tmp_path):
    event = StepCompleted(step=1, loss=1, lr=1, grad_norm=1, tokens=1, tokens_per_s=1, train_s=1)
    with MetricsWriter(tmp_path) as metrics:
        metrics._file = refusing = Refusing(metrics._file, 0)
        metrics.write(event)
        assert read_metrics(tmp_path) == []
        refusing.room = sys.maxsize
    assert [e["step"] for e in read_metrics(tmp_path)] == [1]


def test_metrics_that_never_find_room_leave_a_file_that_can_be_read(tmp_path):
    event = StepCompleted(step=1, loss=1, lr=1, grad_norm=1, tokens=1, tokens_per_s=1, train_s=1)
    with MetricsWriter(tmp_path) as metrics:
        metrics.write(event)
        metrics._file = Refusing(metrics._file, 10)
        metrics.write(event)
    assert [e["step"] for e in read_metrics(tmp_path)] == [1]
    with MetricsWriter(tmp_path) as metrics:
        metrics.resumed(1)
        metrics.write(event)
    assert [e["event"] for e in read_metrics(tmp_path)] == [
        *("StepCompleted", "Resumed", "StepCompleted")
    ]


# Real processes, and limits of the real system.

TINY = [
    *("--d-model", "32", "--n-layers", "2", "--n-heads", "2", "--context", "16"),
    *("--batch-size", "2", "--tokenizer", "byte", "--threads", "1", "--sample-tokens", "4"),
]


def minitf(*words: str, **given: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*given.pop("before", ()), sys.executable, "-m", "minitf_tui", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        **given,
    )


def test_a_system_that_allows_no_large_files(text_file):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    words = ("train", "--corpus", text_file, "--steps", "4", "--name", "tiny", *TINY)
    child = minitf(*words, preexec_fn=limit)
    assert child.returncode == 2
    assert child.stderr.endswith(
        "minitf: The run tiny could not be saved at step 0: File too large.\n"
        "No step is kept. Make room, then: minitf train --resume tiny\n"
    )
    assert minitf("train", "--resume", "tiny", "--json").returncode == 0


SMALL = """
set -e
mount -t tmpfs -o size=4m small "$MINITF_HOME"
minitf() { "$PYTHON" -m minitf_tui "$@"; }
minitf train --corpus "$TEXT" --steps 6 --name tiny --checkpoint-interval 2 "$@" >/dev/null
dd if=/dev/zero of="$MINITF_HOME/filler" bs=1k 2>/dev/null || true
code=0; minitf train --corpus "$TEXT" --steps 6 --name other "$@" || code=$?
echo "train $code"
code=0; minitf eval tiny --json >/dev/null || code=$?
echo "eval $code"
rm "$MINITF_HOME/filler"
code=0; minitf train --resume tiny --steps 9 --json >/dev/null || code=$?
echo "resume $code"
mount -o remount,ro "$MINITF_HOME"
code=0; minitf eval tiny --json || code=$?
echo "eval $code"
code=0; minitf train --resume tiny --steps 12 || code=$?
echo "resume $code"
code=0; minitf train --corpus "$TEXT" --steps 6 "$@" || code=$?
echo "train $code"
code=0; minitf runs rm tiny --yes || code=$?
echo "rm $code"
"""


@pytest.mark.slow
def test_a_disk_that_is_full_and_one_that_is_read_only(text_file, tmp_path):
    """Both for real, in a small file system of our own, where we may mount one."""
    before = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    probe = [*before, "mount", "-t", "tmpfs", "small", str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    home = tmp_path / "small"
    home.mkdir()
    env = os.environ | {"MINITF_HOME": str(home), "TEXT": text_file, "PYTHON": sys.executable}
    child = subprocess.run(
        [*before, "bash", "-c", SMALL, "bash", *TINY],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=env,
    )
    codes = [line for line in child.stdout.splitlines() if not line.startswith("{")]
    assert codes == ["train 2", "eval 0", "resume 0", "eval 0", "resume 2", "train 2", "rm 2"], (
        child.stdout + child.stderr
    )
    assert "No space left on device" in child.stderr
    assert '"perplexity"' in child.stdout
    assert "The evaluation could not be kept with its run: Read-only file system." in child.stderr
    assert "minitf: The disk is read-only: '" in child.stderr
    assert "runs/tiny/lock'.\nMINITF_HOME=FOLDER keeps all data in another place." in child.stderr
    assert f"minitf: Nothing can be written to '{home}/runs': Read-only file" in child.stderr
    assert "Traceback" not in child.stderr
    assert "fault in minitf" not in child.stderr
