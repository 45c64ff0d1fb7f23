"""A run goes out whole or not at all, and what was in its place stays until then."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch

from core import api, departures, recipes
from core.errors import ExportError, MinitfError, StoreError
from core.events import ExportCompleted, SetupProgressed
from core.interop.foreign import Written
from core.store import files
from core.store.files import new_folder, new_place
from core.store.find import find_run
from core.store.stages import Stopped
from core.testing import tiny_run_config

torch.set_num_threads(1)


class Writers:
    """Stand-ins for those of the formats: what they were given, and what they do."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.error: BaseException | None = None

    def hf(self, model: Any, tokenizer: Any, folder: Path, is_stopping: Any) -> Any:
        folder.mkdir()
        return self._write(folder / "config.json", ("hf", model, tokenizer), is_stopping)

    def gguf(
        self, model: Any, tokenizer: Any, path: Path, title: str, kind: str, is_stopping: Any
    ) -> Any:
        return self._write(path, ("gguf", model, tokenizer, title, kind), is_stopping)

    def capsule(self, run: Any, path: Path, is_stopping: Any) -> Any:
        return self._write(path, ("capsule", run), is_stopping)

    def _write(
        self, path: Path, call: tuple[Any, ...], is_stopping: Any
    ) -> Generator[SetupProgressed, None, Written]:
        self.calls.append(call)
        path.write_bytes(b"12345")
        yield SetupProgressed(stage="writing the weights")
        if self.error is not None:
            raise self.error
        if is_stopping():
            raise Stopped
        return Written("LlamaForCausalLM", ("A remark.",))


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch, text_file: str) -> Writers:
    found = Writers()
    for name in ("hf", "gguf", "capsule"):
        monkeypatch.setattr(departures, f"write_{name}", getattr(found, name))
    api.train(tiny_run_config(text_file), name="run")
    return found


def export(place: Path, run: str = "run", **given: Any) -> Any:
    *_, last = recipes.exporting(run, out=place, **given).run()
    assert isinstance(last, ExportCompleted)
    return last.result


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_a_folder_is_written_with_the_weights_of_the_step(writers: Writers, out: Path) -> None:
    result = export(out / "deep" / "model", "run@2")
    assert (result.run, result.step, result.format) == ("run", 2, "hf")
    assert (result.path, result.bytes) == (str(out / "deep" / "model"), 5)
    assert (result.architecture, result.number_type) == ("LlamaForCausalLM", "f32")
    assert result.remarks == ("A remark.",)
    assert left_in(out / "deep" / "model") == ["config.json"]
    (_, model, tokenizer) = writers.calls[0]
    kept = recipes_model("run@2")
    assert model.config == find_run("run").run.config.model
    assert all(torch.equal(model.weights[name], p) for name, p in kept.named_parameters())
    assert not any(tensor.requires_grad for tensor in model.weights.values())
    assert tokenizer.kind == "byte"


def recipes_model(spec: str) -> Any:
    from core.open_run import open_for_use

    return open_for_use(spec, device="cpu", dtype="float32", threads=1).model


def test_a_file_is_written(writers: Writers, out: Path) -> None:
    result = export(out / "a.gguf", format="gguf", number_type="q8_0")
    assert (result.bytes, result.number_type) == (5, "q8_0")
    assert writers.calls[0][3:] == ("run", "q8_0")
    assert export(out / "a.tar.gz", format="capsule").bytes == 5
    assert writers.calls[1][1].name == "run"
    assert left_in(out) == ["a.gguf", "a.tar.gz"]


def refused(place: Path, **given: Any) -> tuple[str, str]:
    with pytest.raises(MinitfError) as caught:
        export(place, **given)
    return str(caught.value), caught.value.hint


def test_what_cannot_be_asked_for_is_refused(out: Path) -> None:
    assert refused(out / "x", format="onnx") == (
        "format='onnx' is not one of hf, gguf, capsule.",
        "Known: capsule, gguf, hf.",
    )
    assert refused(out / "x", format="gguf", number_type="q8_1") == (
        "type='q8_1' is not one of f32, f16, q8_0, q4_0.",
        "Did you mean q8_0?",
    )
    assert refused(out / "x", number_type="f16") == (
        "type=f16 is for gguf, and format=hf.",
        "Leave it out.",
    )
    assert refused(out / "x.GGUF", number_type="q8_0")[0] == "There is no run 'run'."
    assert refused(out / "x.tar.gz", number_type="q8_0")[0] == (
        "type=q8_0 is for gguf, and format=capsule."
    )
    assert refused(out / "x")[0] == "There is no run 'run'."
    assert left_in(out) == []


def test_nothing_goes_that_nobody_gave_up(writers: Writers, out: Path) -> None:
    file, folder, own = out / "a.gguf", out / "model", out / "own"
    file.write_bytes(b"old")
    folder.mkdir()
    (folder / "config.json").write_bytes(b"old")
    own.mkdir()
    (own / "thesis.tex").write_bytes(b"years of work")
    for place, format in ((file, "gguf"), (file, "capsule"), (folder, "hf"), (own, "hf")):
        assert refused(place, format=format) == (
            f"There is something at {str(place)!r} already.",
            "Name another place, or ask to overwrite it.",
        )
    link, elsewhere = out / "link", "Name another place."
    link.symlink_to(out / "nowhere")
    assert refused(link, format="gguf", overwrite=True) == (
        f"{str(link)!r} is neither a file nor a folder.",
        "Name another place: a link or a device is never replaced.",
    )
    link.unlink()
    assert refused(file, format="hf", overwrite=True) == (
        f"{str(file)!r} is a file, and format=hf is a folder.",
        elsewhere,
    )
    assert refused(folder, format="gguf", overwrite=True) == (
        f"{str(folder)!r} is a folder, and format=gguf is one file.",
        elsewhere,
    )
    assert refused(own, overwrite=True) == (
        f"The folder {str(own)!r} holds more than a model: 'thesis.tex'.",
        "Name another place; a folder is overwritten only if all in it is an export's.",
    )
    assert writers.calls == []
    assert left_in(out) == ["a.gguf", "model", "own"]


def test_what_is_given_up_goes_when_the_new_one_is_whole(writers: Writers, out: Path) -> None:
    file, folder = out / "a.gguf", out / "model"
    file.write_bytes(b"old")
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes(b"old")
    export(file, format="gguf", overwrite=True)
    export(folder, overwrite=True)
    assert file.read_bytes() == b"12345"
    assert left_in(folder) == ["config.json"]
    assert left_in(out) == ["a.gguf", "model"]


def test_an_empty_folder_is_taken(writers: Writers, out: Path) -> None:
    (out / "model").mkdir()
    export(out / "model")
    assert left_in(out / "model") == ["config.json"]


@pytest.mark.parametrize(
    "error",
    [
        ExportError("It has a switch that nobody knows."),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        KeyboardInterrupt(),
    ],
    ids=["refused", "full disk", "interrupted"],
)
@pytest.mark.parametrize("format", ["hf", "gguf"])
def test_whatever_ends_it_leaves_what_was_there(
    writers: Writers, out: Path, error: BaseException, format: str
) -> None:
    writers.error = error
    with pytest.raises(type(error)):
        export(out / "new", format=format)
    assert left_in(out) == []
    old = out / "new"
    if format == "hf":
        old.mkdir()
        old = old / "config.json"
    old.write_bytes(b"old")
    with pytest.raises(type(error)):
        export(out / "new", format=format, overwrite=True)
    assert left_in(out) == ["new"]
    assert old.read_bytes() == b"old"


@pytest.mark.parametrize("format", ["hf", "gguf", "capsule"])
def test_one_that_is_stopped_leaves_what_was_there(
    writers: Writers, out: Path, format: str
) -> None:
    session = recipes.exporting("run", out=out / "new", format=format)
    seen = []
    for event in session.run():
        seen.append(event)
        if isinstance(event, SetupProgressed) and event.stage == "writing the weights":
            session.stop()
    assert not any(isinstance(event, ExportCompleted) for event in seen)
    assert (len(writers.calls), left_in(out)) == (1, [])


def test_one_that_nobody_pulls_to_its_end_leaves_nothing(writers: Writers, out: Path) -> None:
    events = recipes.exporting("run", out=out / "new").run()
    for event in events:
        if isinstance(event, SetupProgressed) and event.stage == "writing the weights":
            break
    events.close()
    assert left_in(out) == []


def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    writers: Writers, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (out / "file").write_bytes(b"")
    with pytest.raises(StoreError):
        export(out / "file" / "model")
    monkeypatch.setattr(departures, "check_writable", raises(StoreError("No.")))
    with pytest.raises(StoreError, match="No"):
        export(out / "model")
    assert writers.calls == []


def raises(error: BaseException) -> Any:
    def fail(*_: Any) -> None:
        raise error

    return fail


class TestNewPlace:
    """One thing takes the place of another at once."""

    @pytest.mark.parametrize("old", ["nothing", "file", "folder", "link", "dead link"])
    @pytest.mark.parametrize("new", ["file", "folder"])
    def test_anything_takes_the_place_of_anything(self, out: Path, old: str, new: str) -> None:
        path = out / "it"
        target = out.parent / "target"
        target.mkdir()
        (target / "kept").write_bytes(b"")
        if old == "file":
            path.write_bytes(b"old")
        elif old == "folder":
            path.mkdir()
            (path / "old").write_bytes(b"")
        elif old == "link":
            path.symlink_to(target)
        elif old == "dead link":
            path.symlink_to(out / "nowhere")
        with new_place(path) as partial:
            assert partial.parent == path.parent
            if new == "file":
                partial.write_bytes(b"new")
            else:
                partial.mkdir()
                (partial / "new").write_bytes(b"")
        assert not path.is_symlink()
        assert path.read_bytes() == b"new" if new == "file" else left_in(path) == ["new"]
        assert left_in(out) == ["it"]
        assert left_in(target) == ["kept"], "what a link points at is not ours"

    @pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), KeyboardInterrupt("broken")])
    def test_what_was_there_comes_back_if_the_new_one_cannot_be_put_there(
        self, out: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
    ) -> None:
        path = out / "it"
        path.mkdir()
        (path / "old").write_bytes(b"")
        monkeypatch.setattr(Path, "replace", raises(error))
        with pytest.raises(type(error), match="broken"), new_place(path) as partial:
            partial.mkdir()
        assert left_in(out) == ["it"]
        assert left_in(path) == ["old"]

    @pytest.mark.parametrize("kind", ["place", "folder"])
    def test_all_of_it_is_on_the_disk_before_it_is_seen(
        self, out: Path, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        synced: list[int] = []
        sync = os.fsync

        def note(handle: int) -> None:
            synced.append(os.fstat(handle).st_ino)
            sync(handle)

        monkeypatch.setattr(files.os, "fsync", note)
        new = new_place if kind == "place" else new_folder
        with new(out / "it") as partial:
            (partial / "in").mkdir(parents=True)
            (partial / "in" / "a").write_bytes(b"a")
            made = (out, partial, partial / "in", partial / "in" / "a")
            wanted = {path.stat().st_ino for path in made}
        assert wanted == set(synced)
