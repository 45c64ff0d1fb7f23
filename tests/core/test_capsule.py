"""Capsules: the same file each time, and nothing of a bad one is left behind."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from safetensors.torch import load, save

from core import api, paths, recipes
from core.config import RunConfig
from core.errors import DataError, FormatError, MinitfError, RunError
from core.events import Export, ExportCompleted, Import, ImportCompleted, RunStarted
from core.interop.capsule import archive
from core.interop.capsule.packing import is_capsule
from core.store.find import find_run, run_names
from core.store.run import Run
from core.testing import tiny_run_config

LAST = "checkpoints/step-00000004"
Files = dict[str, bytes]


def exported(run: str, out: Path) -> Export:
    *_, last = recipes.exporting(run, format="capsule", out=out).run()
    assert isinstance(last, ExportCompleted), last
    return last.result


def restored(path: Path, name: str | None = None) -> Import:
    *_, last = recipes.importing(path, name=name).run()
    assert isinstance(last, ImportCompleted), last
    return last.result


def files_of(path: Path) -> Files:
    """By name, the list first; read by Python's own reader."""
    with tarfile.open(path, "r:gz") as archive:
        found = {about.name: archive.extractfile(about) for about in archive}
        return {name: file.read() for name, file in found.items() if file is not None}


def listed(files: Files, **changes: Any) -> bytes:
    members = [
        {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    ]
    return json.dumps({"format": 1, "minitf": "0", "members": members} | changes).encode()


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE, **changes: Any) -> bytes:
    about = tarfile.TarInfo(name)
    about.size, about.type = size, kind
    for field, value in changes.items():
        setattr(about, field, value)
    return about.tobuf(tarfile.GNU_FORMAT)


def member(name: str, data: bytes) -> bytes:
    return header(name, len(data)) + data + b"\0" * (-len(data) % 512)


def packed(path: Path, files: Files, manifest: bytes | None = None, rest: bytes = b"") -> Path:
    """A capsule of these files, its list right unless another one is given."""
    manifest = listed(files) if manifest is None else manifest
    blocks = [member("capsule.json", manifest)]
    blocks += [member(name, data) for name, data in files.items()]
    path.write_bytes(gzip.compress(b"".join(blocks) + b"\0" * 1024 + rest))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capsule of a run with a report."""
    folder = tmp_path_factory.mktemp("capsule")
    text = folder / "river.txt"
    text.write_text("".join(f"the river {i} runs naïvely to {i * i}\n" for i in range(150)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINITF_HOME", str(folder / "home"))
        api.train(tiny_run_config(str(text)), name="tiny")
        api.evaluate("tiny")
        exported("tiny", folder / "tiny.tar.gz")
    text.unlink()
    return folder / "tiny.tar.gz"


@pytest.fixture
def files(whole: Path) -> Files:
    """What is in it, without the list."""
    found = files_of(whole)
    del found["capsule.json"]
    return found


@pytest.fixture
def config(text_file: str) -> RunConfig:
    return tiny_run_config(text_file)


def run_of(name: str) -> Run:
    return find_run(name).run


def test_it_holds_all_and_begins_with_its_list(whole: Path) -> None:
    found = files_of(whole)
    reports = [name for name in found if name.startswith("evaluations/")]
    assert list(found) == [
        *("capsule.json", "run.toml", "tokenizer.json", "metrics.jsonl"),
        *(f"{LAST}/{name}" for name in ("state.json", "model.safetensors", "state.safetensors")),
        *reports,
        "corpus.txt",
    ]
    assert len(reports) == 1
    members = json.loads(found["capsule.json"])["members"]
    assert [m["name"] for m in members] == list(found)[1:]
    for one in members:
        data = found[one["name"]]
        assert (one["bytes"], one["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert "tiny" not in found["run.toml"].decode()


def test_export_import_export_gives_the_same_file(whole: Path, tmp_path: Path) -> None:
    first = restored(whole)
    assert (first.run, first.format, first.step) == ("tiny", "capsule", 4)
    exported("tiny", tmp_path / "again.tar.gz")
    exported("tiny", tmp_path / "twice.tar.gz")
    restored(tmp_path / "again.tar.gz", name="other")
    exported("other", tmp_path / "third.tar.gz")
    for name in ("again", "twice", "third"):
        assert (tmp_path / f"{name}.tar.gz").read_bytes() == whole.read_bytes()


def test_nothing_in_it_tells_when_or_by_whom_it_was_made(whole: Path) -> None:
    assert whole.read_bytes()[4:8] == b"\0\0\0\0"
    with tarfile.open(whole, "r:gz") as archive:
        for about in archive:
            assert (about.mtime, about.uid, about.gid) == (0, 0, 0)
            assert (about.uname, about.gname, about.isreg()) == ("", "", True)


def test_best_and_newest_are_put_in_and_the_rates_of_a_replay(
    config: RunConfig, tmp_path: Path
) -> None:
    api.train(config.with_changes(steps=6, checkpoint_interval=2), name="run")
    api.replay("run", name="again")
    state = run_of("again").checkpoint_path(4) / "state.json"
    state.write_text(state.read_text().replace('"loss": 5', '"loss": 1'))
    exported("again", tmp_path / "a.tar.gz")
    found = files_of(tmp_path / "a.tar.gz")
    steps = {name.split("/")[1] for name in found if name.startswith("checkpoints/")}
    assert steps == {"step-00000004", "step-00000006"}
    assert "rates.json" in found
    restored(tmp_path / "a.tar.gz", "back")
    exported("back", tmp_path / "b.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_weights_that_it_began_with_are_put_in(config: RunConfig, tmp_path: Path) -> None:
    api.train(config, name="base")
    api.train(config.with_changes(steps=8), name="tuned", init_from="base")
    exported("tuned", tmp_path / "a.tar.gz")
    restored(tmp_path / "a.tar.gz", "back")
    agreement = api.replay("back").agreement
    assert agreement is not None
    assert (agreement.steps, agreement.is_equal) == (8, True)


def test_weights_from_elsewhere_are_put_in_once(config: RunConfig, tmp_path: Path) -> None:
    """Before its first step a run has them under two names."""
    api.train(config, name="base")
    events = recipes.training(config, name="tuned", init_from="base").run()
    for event in events:
        if isinstance(event, RunStarted):
            break
    shutil.copytree(run_of("tuned").path, tmp_path / "tuned")
    events.close()
    exported(str(tmp_path / "tuned"), tmp_path / "a.tar.gz")
    weights = [name for name in files_of(tmp_path / "a.tar.gz") if name.endswith(".safetensors")]
    assert weights == ["init.safetensors"]
    assert restored(tmp_path / "a.tar.gz", "back").step == 0
    exported("back", tmp_path / "b.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    first, start = run_of("back").checkpoint_path(0), run_of("back").path
    assert (first / "model.safetensors").samefile(start / "init.safetensors")
    assert api.resume("back").steps == 4


def test_a_run_in_a_folder_that_cannot_be_written_is_exported(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.train(config, name="run")

    def denied(_: Run) -> NoReturn:
        raise PermissionError

    monkeypatch.setattr(Run, "lock", denied)
    assert exported("run", tmp_path / "a.tar.gz").step == 4


def test_a_run_without_a_checkpoint_is_a_capsule_too(config: RunConfig, tmp_path: Path) -> None:
    events = recipes.training(config, name="run").run()
    for event in events:
        if isinstance(event, RunStarted):
            break
    events.close()
    exported("run", tmp_path / "a.tar.gz")
    assert restored(tmp_path / "a.tar.gz", "back").step == 0
    assert api.resume("back").steps == 4


@pytest.mark.parametrize(
    ("corpus", "is_in"), [("generated", False), ("python-docs", True), ("river", True)]
)
def test_only_a_text_that_anybody_can_generate_stays_out(
    config: RunConfig, text_file: str, tmp_path: Path, corpus: str, is_in: bool
) -> None:
    corpus = text_file if corpus == "river" else corpus
    changes = {"corpus": corpus, "generated_chars": 5000, "steps": 1, "max_tokens": 2000}
    api.train(config.with_changes(**changes, eval_interval=0), name="run")
    assert exported("run", tmp_path / "a.tar.gz").remarks == ()
    assert restored(tmp_path / "a.tar.gz").remarks == ()
    text = files_of(tmp_path / "a.tar.gz").get("corpus.txt")
    assert (text is not None) == is_in
    if text is not None:
        assert hashlib.sha256(text).hexdigest() == run_of("run").provenance["corpus_sha256"]


def left_out(why: str) -> tuple[str, ...]:
    return (f"The text is not in it, only its fingerprint: {why}.",)


def test_a_long_text_stays_out(
    config: RunConfig, text_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.train(config, name="run")
    exported("run", tmp_path / "with.tar.gz")
    n_bytes = Path(text_file).stat().st_size
    monkeypatch.setattr(archive, "MAX_TEXT_BYTES", n_bytes)
    assert exported("run", tmp_path / "just.tar.gz").remarks == ()
    monkeypatch.setattr(archive, "MAX_TEXT_BYTES", n_bytes - 1)
    result = exported("run", tmp_path / "without.tar.gz")
    assert result.remarks == left_out("it is longer than 64 MiB")
    assert "corpus.txt" not in files_of(tmp_path / "without.tar.gz")
    restored(tmp_path / "with.tar.gz", "back")
    assert exported("back", tmp_path / "b.tar.gz").remarks == left_out("it is longer than 64 MiB")


def test_a_text_that_is_another_one_or_gone_stays_out(
    config: RunConfig, text_file: str, tmp_path: Path
) -> None:
    api.train(config, name="run")
    Path(text_file).write_text("something else" * 500)
    assert exported("run", tmp_path / "a.tar.gz").remarks == left_out(
        f"The corpus {text_file!r} has changed since run was made"
    )
    Path(text_file).unlink()
    assert exported("run", tmp_path / "b.tar.gz").remarks == left_out(
        f"There is no file {text_file!r}"
    )
    restored(tmp_path / "b.tar.gz", "back")
    assert not run_of("back").text_path.exists()


def test_a_text_that_was_not_put_in_can_be_added(
    config: RunConfig, text_file: str, tmp_path: Path
) -> None:
    trained = api.train(config, name="run")
    text = Path(text_file).read_text()
    Path(text_file).unlink()
    exported("run", tmp_path / "a.tar.gz")
    for cached in (paths.cache_dir() / "tokens").iterdir():
        cached.unlink()
    place = paths.runs_dir() / "back" / "corpus.txt"
    assert restored(tmp_path / "a.tar.gz", "back").remarks == (
        f"Its text was not put in; to train it on, copy the text to {str(place)!r}.",
    )
    with pytest.raises(DataError, match="There is no file"):
        api.evaluate("back")
    place.write_text(text)
    assert api.evaluate("back").loss == pytest.approx(trained.val_loss, rel=1e-6)


def test_a_text_of_many_files_is_restored_to_the_character(
    config: RunConfig, tmp_path: Path
) -> None:
    """Line ends and byte-order marks that are part of it included."""
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_bytes(("\ufeff\ufeffone\r\ntwo é\n" * 200).encode())
    (folder / "b.txt").write_bytes(b"three\rfour\n" * 200)
    trained = api.train(config.with_changes(corpus=str(folder)), name="run")
    exported("run", tmp_path / "a.tar.gz")
    for path in folder.iterdir():
        path.unlink()
    restored(tmp_path / "a.tar.gz", "back")
    for cached in (paths.cache_dir() / "tokens").iterdir():
        cached.unlink()
    assert api.evaluate("back").loss == pytest.approx(trained.val_loss, rel=1e-6)


def test_a_copy_of_the_text_that_was_changed_is_refused(whole: Path) -> None:
    restored(whole)
    path = run_of("tiny").text_path
    path.write_text(path.read_text().replace("river", "water"))
    with pytest.raises(RunError) as caught:
        api.evaluate("tiny")
    assert str(caught.value) == (
        "The corpus.txt of tiny is not the text that the run was made from."
    )
    assert caught.value.hint == "Restore it, or delete it to read the text where it was."


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("tiny.tar.gz", "tiny"),
        ("tiny.tgz", "tiny.tgz"),
        ("My model!.tar.gz", "my-model-1"),
        ("last.tar.gz", "last-1"),
        ("é.tar.gz", "run-1"),
    ],
)
def test_it_is_called_after_its_file(whole: Path, tmp_path: Path, file: str, name: str) -> None:
    path = tmp_path / file
    path.write_bytes(whole.read_bytes())
    assert restored(path).run == name


def test_a_name_that_is_taken_is_counted_or_refused(whole: Path) -> None:
    assert [restored(whole).run for _ in range(3)] == ["tiny", "tiny-1", "tiny-2"]
    with pytest.raises(RunError, match="A run named 'tiny' exists already"):
        restored(whole, name="tiny")


def test_a_run_that_is_being_trained_is_not_put_in(config: RunConfig, tmp_path: Path) -> None:
    api.train(config, name="run")
    with run_of("run").lock(), pytest.raises(RunError, match="run is in use by another minitf"):
        exported("run", tmp_path / "a.tar.gz")
    assert not (tmp_path / "a.tar.gz").exists()


def left() -> list[str]:
    """Anything in the runs folder, half done things included."""
    folder = paths.runs_dir()
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def stop_after(session: Any, n_events: int) -> None:
    """Ask for an end after so many events; the job does not come to its own."""
    for n, event in enumerate(session.run()):
        assert not isinstance(event, ExportCompleted | ImportCompleted)
        if n == n_events:
            session.stop()


@pytest.mark.parametrize("after", [0, 3, 6, 12, 15])
def test_stopped_anywhere_it_leaves_nothing(whole: Path, after: int) -> None:
    stop_after(recipes.importing(whole), after)
    assert left() == []


def test_an_export_that_is_stopped_leaves_nothing(config: RunConfig, tmp_path: Path) -> None:
    api.train(config, name="run")
    path = tmp_path / "a.tar.gz"
    path.write_text("precious")
    before = set(tmp_path.iterdir())
    for after in range(8):
        stop_after(recipes.exporting("run", format="capsule", out=path, overwrite=True), after)
        assert set(tmp_path.iterdir()) == before
        assert path.read_text() == "precious"


def refused(path: Path) -> str:
    """What is said about a capsule, of which nothing may be left."""
    with pytest.raises(FormatError) as caught:
        restored(path)
    assert left() == []
    assert caught.value.hint == "Fetch it again, or have it exported again. Nothing was written."
    start = f"{path}: this capsule cannot be restored: "
    message = str(caught.value)
    assert message.startswith(start)
    assert message.endswith(".")
    assert len(message.splitlines()) == 1
    return message.removeprefix(start).removesuffix(".")


def retold(files: Files, name: str, change: Callable[[bytes], bytes]) -> Files:
    return files | {name: change(files[name])}


DANGEROUS = (
    "../x",
    "/etc/x",
    "a/../../x",
    "run.toml/../x",
    "x",
    "",
    "checkpoints/step-1/state.json",
)


@pytest.mark.parametrize("name", DANGEROUS)
def test_a_list_with_a_name_that_no_run_has(files: Files, tmp_path: Path, name: str) -> None:
    path = packed(tmp_path / "a.tar.gz", files | {name: b"x"})
    assert refused(path) == f"it has a file that no run has, {name!r}"


@pytest.mark.parametrize("name", DANGEROUS)
def test_a_file_that_is_not_in_the_list(files: Files, tmp_path: Path, name: str) -> None:
    names = list(files)
    archive = member("capsule.json", listed(files)) + member(name or "y", b"x")
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(archive + bytes(1024)))
    assert refused(path) == f"{name or 'y'!r} stands where {names[0]} should"


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (tarfile.SYMTYPE, {"linkname": "/etc/passwd"}),
        (tarfile.LNKTYPE, {"linkname": "tokenizer.json"}),
        (tarfile.CHRTYPE, {"devmajor": 1, "devminor": 5}),
        (tarfile.BLKTYPE, {"devmajor": 8}),
        (tarfile.FIFOTYPE, {}),
        (tarfile.DIRTYPE, {}),
        (tarfile.CONTTYPE, {}),
        (tarfile.GNUTYPE_SPARSE, {}),
        (tarfile.GNUTYPE_LONGNAME, {}),
        (tarfile.XHDTYPE, {}),
        (b"Z", {}),
    ],
)
def test_anything_but_a_plain_file(
    files: Files, tmp_path: Path, kind: bytes, changes: dict[str, Any]
) -> None:
    size = len(files["run.toml"])
    archive = member("capsule.json", listed(files)) + header("run.toml", size, kind, **changes)
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(archive + files["run.toml"] + bytes(4096)))
    assert refused(path) == "run.toml is not a plain file"


def test_a_size_below_zero(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(header("capsule.json", -1) + bytes(4096)))
    assert refused(path) == "capsule.json is not a plain file"


def test_more_than_the_disk_has_room_for(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)
    words = r"it needs \d+ bytes, and the disk has 1000"
    assert re.fullmatch(words, refused(whole))


def test_words_of_others_are_cut_short(files: Files, tmp_path: Path) -> None:
    changed = retold(
        files, "run.toml", replaced('tokenizer = "byte"', f'tokenizer = "{"x" * 999}"')
    )
    words = refused(packed(tmp_path / "a.tar.gz", changed))
    assert words.endswith("xxx…")
    assert len(words) == 241


def test_the_same_file_twice(files: Files, tmp_path: Path) -> None:
    manifest = json.loads(listed(files))
    manifest["members"].append(manifest["members"][2])
    path = packed(tmp_path / "a.tar.gz", files, json.dumps(manifest).encode())
    assert refused(path) == "metrics.jsonl is in it twice"


def test_more_than_its_list_says(files: Files, tmp_path: Path) -> None:
    words = "there is more in it than its list says"
    assert refused(packed(tmp_path / "a.tar.gz", files, rest=member("x", b"x"))) == words
    assert refused(packed(tmp_path / "b.tar.gz", files, rest=bytes(1 << 17))) == words


def bomb(path: Path, start: bytes, n_bytes: int) -> Path:
    """`start` and then zeros: gzips one after another are one, and the same one is cheap."""
    path.write_bytes(gzip.compress(start) + gzip.compress(bytes(1 << 20)) * (n_bytes >> 20))
    return path


TEN_GB = 10 << 30


def test_ten_gigabytes_of_zeros_are_refused_by_the_list(files: Files, tmp_path: Path) -> None:
    manifest = json.loads(listed(files))
    manifest["members"][-1]["bytes"] = TEN_GB
    path = packed(tmp_path / "a.tar.gz", files, json.dumps(manifest).encode())
    assert refused(path) == f"corpus.txt has {TEN_GB} bytes, and {64 << 20} at most"
    manifest["members"][-1] = json.loads(listed(files))["members"][-1]
    weights = next(m for m in manifest["members"] if m["name"] == f"{LAST}/model.safetensors")
    weights["bytes"] = TEN_GB
    path = packed(tmp_path / "b.tar.gz", files, json.dumps(manifest).encode())
    assert refused(path) == f"{LAST}/model.safetensors is larger than its model"


def test_zeros_beyond_what_is_declared_are_not_read(files: Files, tmp_path: Path) -> None:
    """A header of ten gigabytes where the list has a few bytes; and as much behind the end."""
    start = member("capsule.json", listed(files))
    path = bomb(tmp_path / "a.tar.gz", start + header("run.toml", TEN_GB), TEN_GB)
    size = len(files["run.toml"])
    assert refused(path) == f"run.toml has {TEN_GB} bytes and not {size}"
    whole = start + b"".join(member(name, data) for name, data in files.items())
    path = bomb(tmp_path / "b.tar.gz", whole, TEN_GB)
    assert refused(path) == "there is more in it than its list says"


def test_a_list_that_is_too_long(files: Files, tmp_path: Path) -> None:
    start = header("capsule.json", 3 << 30)
    assert refused(bomb(tmp_path / "a.tar.gz", start, 4 << 20)) == f"its list has {3 << 30} bytes"
    row = {"name": "run.toml", "bytes": 0, "sha256": ""}
    many = json.dumps({"format": 1, "members": [row] * 5000}, separators=(",", ":")).encode()
    assert refused(packed(tmp_path / "b.tar.gz", files, many)) == (
        "it holds 5000 files, and 4096 are the most"
    )


def test_a_million_files(files: Files, tmp_path: Path) -> None:
    """Their headers alone: the first that is not in the list ends it."""
    path = tmp_path / "a.tar.gz"
    start = gzip.compress(member("capsule.json", listed(files)))
    path.write_bytes(start + gzip.compress(header("a", 0) * 1000) * 1000)
    assert refused(path) == "'a' stands where run.toml should"


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (b"{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"[]", "list indices must be integers or slices, not str"),
        (b'{"format": 2}', "it was made by another version of minitf"),
        (b'{"format": 1}', "'members'"),
        (b'{"format": 1, "members": [{}]}', "'name'"),
        (b"[" * 100_000, "maximum recursion depth exceeded while decoding a JSON array from a"),
        (b"\xff", "'utf-8' codec can't decode"),
    ],
)
def test_a_list_that_cannot_be_read(
    files: Files, tmp_path: Path, manifest: bytes, reason: str
) -> None:
    words = refused(packed(tmp_path / "a.tar.gz", files, manifest))
    assert words.startswith(f"its list cannot be read ({reason}")


@pytest.mark.parametrize("size", [-1, 1.5, None, "7", True, 2 << 20])
def test_a_list_with_impossible_sizes(files: Files, tmp_path: Path, size: Any) -> None:
    manifest = json.loads(listed(files))
    manifest["members"][0]["bytes"] = size
    path = packed(tmp_path / "a.tar.gz", files, json.dumps(manifest).encode())
    assert refused(path) == f"run.toml has {size!r} bytes, and 1048576 at most"


def test_a_list_in_another_order(files: Files, tmp_path: Path) -> None:
    turned = dict(reversed(files.items()))
    assert refused(packed(tmp_path / "a.tar.gz", turned)) == (
        "it does not begin with run.toml and tokenizer.json"
    )


def test_another_content_than_was_put_in(files: Files, tmp_path: Path) -> None:
    changed = retold(files, "metrics.jsonl", lambda data: data.replace(b"5", b"6"))
    path = packed(tmp_path / "a.tar.gz", changed, listed(files))
    assert refused(path) == "metrics.jsonl is not what was put in"


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.9999])
def test_a_file_that_is_cut_off(whole: Path, tmp_path: Path, share: float) -> None:
    data = whole.read_bytes()
    path = tmp_path / "a.tar.gz"
    path.write_bytes(data[: int(share * len(data))])
    assert refused(path).startswith("it is cut off or damaged (")


def test_a_flipped_bit_anywhere(whole: Path, tmp_path: Path) -> None:
    data = bytearray(whole.read_bytes())
    for place in range(400, len(data), len(data) // 12):
        damaged = data.copy()
        damaged[place] ^= 16
        path = tmp_path / "a.tar.gz"
        path.write_bytes(damaged)
        with pytest.raises(FormatError):
            restored(path)
        assert left() == []


def test_an_archive_that_ends_inside_of_a_file(files: Files, tmp_path: Path) -> None:
    start = member("capsule.json", listed(files)) + header("run.toml", len(files["run.toml"]))
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(start + b"format"))
    assert refused(path) == "it ends inside of run.toml"
    path.write_bytes(gzip.compress(start[:-512]))
    assert refused(path) == "run.toml is missing (empty header)"


def test_what_is_no_capsule_is_not_taken_for_one(whole: Path, files: Files, tmp_path: Path) -> None:
    other = tmp_path / "other.tar.gz"
    for data in (
        b"",
        b"\x1f\x8b",
        b"\x1f\x8bx" * 100,
        b"no gzip",
        gzip.compress(b""),
        gzip.compress(b"x" * 600),
        gzip.compress(member("run.toml", files["run.toml"])),
        whole.read_bytes()[:30],
    ):
        other.write_bytes(data)
        assert not is_capsule(other)
        with pytest.raises(FormatError, match="is none of the files that minitf reads"):
            restored(other)
    assert not is_capsule(tmp_path)
    assert not is_capsule(tmp_path / "nothing")
    assert is_capsule(whole)
    assert left() == []


def replaced(old: str, new: str) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        assert old.encode() in data
        return data.replace(old.encode(), new.encode())

    return change


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("format = 1", "format = 2", "run.toml cannot be read (made by another version of minitf)"),
        ("format = 1", "format = ", "run.toml cannot be read ("),
        ("[model]", "[modal]", "run.toml cannot be read (The config has no table [modal].)"),
        ("d_model = 16", "d_model = -1", "run.toml cannot be read (d_model=-1 "),
        ("d_model = 16", 'd_model = "a"', "run.toml cannot be read (d_model='a' "),
        ("threads = 1\ncores", "cores", "run.toml does not say threads"),
        ("threads = 1\ncores", "threads = 0\ncores", "it was trained on 0 threads"),
        ("n_params = ", "n_params = 1", "n_params is not the size of its model"),
        ("n_params = ", "x = ", "run.toml does not say n_params"),
        ("corpus_sha256 = ", "corpus_sha255 = ", "run.toml does not say corpus_sha256"),
        ("[provenance]", '[provenance]\nend_ids = ["a"]', "its end_ids are no list of tokens"),
        ("n_layers = 1", "n_layers = 100000", "its model has 100000 layers, and 1024 at most"),
        ("d_model = 16", "d_model = 1000000", "its model has 44"),
        ("max_seq_len = 32", "max_seq_len = 9000000", "its model has 9000000 positions"),
        ("vocab_size = 256", "vocab_size = 200", "its tokenizer has 256 tokens, and its model 200"),
        (
            "[provenance]",
            '[provenance]\ninit_sha256 = "0"',
            "run.toml and init.safetensors do not fit",
        ),
    ],
)
def test_settings_that_cannot_be(
    files: Files, tmp_path: Path, old: str, new: str, words: str
) -> None:
    changed = retold(files, "run.toml", replaced(old, new))
    assert refused(packed(tmp_path / "a.tar.gz", changed)).startswith(words)


def test_another_text(files: Files, tmp_path: Path) -> None:
    words = "its text is not the one that it was trained on"
    assert refused(packed(tmp_path / "a.tar.gz", files | {"corpus.txt": b"x" * 999})) == words


def test_a_text_that_is_no_text(files: Files, tmp_path: Path) -> None:
    text = b"\xff" * 99
    before = hashlib.sha256(files["corpus.txt"]).hexdigest()
    changed = retold(files, "run.toml", replaced(before, hashlib.sha256(text).hexdigest()))
    path = packed(tmp_path / "a.tar.gz", changed | {"corpus.txt": text})
    assert refused(path) == "corpus.txt is no text"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "tokenizer.json cannot be used ("),
        (b"\xff", "tokenizer.json cannot be read"),
        (b"[" * 100_000, "tokenizer.json cannot be "),
    ],
)
def test_a_tokenizer_that_cannot_be_used(
    files: Files, tmp_path: Path, data: bytes, words: str
) -> None:
    path = packed(tmp_path / "a.tar.gz", files | {"tokenizer.json": data})
    assert refused(path).startswith(words)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"event": "StepCompleted", "step": 1}', "a StepCompleted whose loss is missing"),
        (
            '{"event": "ValidationCompleted", "step": 1, "loss": "low"}',
            'a ValidationCompleted whose loss is "low"',
        ),
        (
            '{"event": "SampleCompleted", "step": 1, "prompt": "", "text": 7}',
            "a SampleCompleted whose text is 7",
        ),
        (
            '{"event": "CheckpointSaved", "step": 9223372036854775808, "path": "", "save_s": 0}',
            "a CheckpointSaved whose step is 9223372036854775808",
        ),
        (
            '{"event": "ValidationCompleted", "step": 1, "loss": 1, "loss_ci95": [1]}',
            "a ValidationCompleted whose loss_ci95 is [1]",
        ),
        ('{"event": "Diverged", "step": 1, "what": [1]}', "a Diverged whose what is [1]"),
    ],
)
def test_metrics_that_nobody_could_read(
    files: Files, tmp_path: Path, line: str, words: str
) -> None:
    changed = retold(files, "metrics.jsonl", lambda data: data + line.encode() + b"\n")
    told = refused(packed(tmp_path / "a.tar.gz", changed))
    assert told.startswith(f"metrics.jsonl has {words}")


@pytest.mark.parametrize("line", [b"x\n", b"[1]\n", b"\n", b"\xff\n", b"[" * 100_000 + b"\n"])
def test_a_line_of_metrics_that_is_no_event(files: Files, tmp_path: Path, line: bytes) -> None:
    lines = files["metrics.jsonl"].count(b"\n")
    path = packed(tmp_path / "a.tar.gz", retold(files, "metrics.jsonl", lambda d: d + line))
    assert refused(path) == f"line {lines + 1} of metrics.jsonl cannot be read"


def test_a_line_of_metrics_without_an_end(files: Files, tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar.gz", files | {"metrics.jsonl": b" " * (3 << 20)})
    assert refused(path) == "line 1 of metrics.jsonl is too long"


def test_a_run_without_metrics_is_taken(files: Files, tmp_path: Path) -> None:
    del files["metrics.jsonl"]
    assert restored(packed(tmp_path / "a.tar.gz", files)).step == 4


def test_a_torn_last_line_and_lines_of_a_later_version_are_taken(
    files: Files, tmp_path: Path
) -> None:
    tail = b'{"event": "Sung", "step": 4}\n{"event": "StepC'
    path = packed(tmp_path / "a.tar.gz", retold(files, "metrics.jsonl", lambda d: d + tail))
    assert restored(path).run == "a"
    assert api.resume("a", steps=6).steps == 6


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("rates.json", b"{"),
        ("rates.json", b'{"format": 1, "rates": [[]]}'),
        ("evaluations/a.json", b"{"),
        ("benchmarks/a.json", b"[1]"),
        ("benchmarks/a.json", b"[" * 100_000),
    ],
)
def test_other_files_that_cannot_be_read(
    files: Files, tmp_path: Path, name: str, data: bytes
) -> None:
    path = packed(tmp_path / "a.tar.gz", files | {name: data})
    assert refused(path) == f"{name.rpartition('/')[2]} cannot be read"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"format": 1', '"format": 2', "state.json of step 4 cannot be read"),
        ('"step": 4', '"step": 5', "state.json of step 4 cannot be read"),
        ('"tokens": ', '"tokens": "1", "x": ', "state.json of step 4 lacks a number"),
        ('"loss": ', '"loss": "1", "x": ', "state.json of step 4 lacks a number"),
        ('"train": ', '"train": [], "x": ', "state.json of step 4 lacks a number"),
        ('"spent_s": ', '"x": ', "state.json of step 4 lacks a number"),
    ],
)
def test_a_state_that_nobody_could_go_on_from(
    files: Files, tmp_path: Path, old: str, new: str, words: str
) -> None:
    changed = retold(files, f"{LAST}/state.json", replaced(old, new))
    assert refused(packed(tmp_path / "a.tar.gz", changed)) == words


def tensors_changed(change: Callable[[dict[str, torch.Tensor]], object]) -> Any:
    def changed(data: bytes) -> bytes:
        tensors = load(data)
        change(tensors)
        return save(tensors)

    return changed


def spoil(name: str, value: float) -> Any:
    return tensors_changed(lambda tensors: tensors[name].view(-1)[0].fill_(value))


EMBEDDING = "embedding.weight"


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        (
            "model",
            spoil(EMBEDDING, float("nan")),
            "embedding.weight in model.safetensors of step 4 holds a number that is not finite",
        ),
        (
            "state",
            spoil(f"{EMBEDDING}.exp_avg", float("inf")),
            "embedding.weight.exp_avg in state.safetensors of step 4 holds a number that is not"
            " finite",
        ),
        (
            "model",
            tensors_changed(lambda t: t.pop(EMBEDDING)),
            "model.safetensors of step 4 has not the tensors of its model: embedding.weight",
        ),
        (
            "state",
            tensors_changed(lambda t: t.update(extra=torch.zeros(1))),
            "state.safetensors of step 4 has not the tensors of its model: extra",
        ),
        (
            "model",
            tensors_changed(lambda t: t.update({EMBEDDING: torch.zeros(3, 3)})),
            "embedding.weight in model.safetensors of step 4 has another shape or type",
        ),
        (
            "model",
            tensors_changed(lambda t: t.update({EMBEDDING: t[EMBEDDING].half()})),
            "embedding.weight in model.safetensors of step 4 has another shape or type",
        ),
        ("model", lambda data: data[:-4], "model.safetensors of step 4 is damaged"),
        ("state", lambda data: b"\xff" * 64, "state.safetensors of step 4 is damaged"),
    ],
)
def test_tensors_that_are_not_those_of_the_model(
    files: Files, tmp_path: Path, file: str, change: Callable[[bytes], bytes], words: str
) -> None:
    changed = retold(files, f"{LAST}/{file}.safetensors", change)
    assert refused(packed(tmp_path / "a.tar.gz", changed)) == words


@pytest.mark.parametrize(
    ("file", "words"), [("model", "has no weights"), ("state", "has no moments")]
)
def test_a_checkpoint_without_one_of_its_files(
    files: Files, tmp_path: Path, file: str, words: str
) -> None:
    del files[f"{LAST}/{file}.safetensors"]
    path = packed(tmp_path / "a.tar.gz", files)
    assert refused(path) == f"the checkpoint of step 4 {words}"


def test_a_checkpoint_of_another_optimiser(files: Files, tmp_path: Path) -> None:
    def change(data: bytes) -> bytes:
        return json.dumps({**json.loads(data), "optimizer": "muon"}).encode()

    path = packed(tmp_path / "a.tar.gz", retold(files, f"{LAST}/state.json", change))
    assert refused(path) == "the checkpoint of step 4 is not of optimizer=adamw"


def test_weights_to_begin_with_that_are_others(config: RunConfig, tmp_path: Path) -> None:
    api.train(config, name="base")
    api.train(config, name="tuned", init_from="base")
    exported("tuned", tmp_path / "a.tar.gz")
    for name in run_names():
        Path(paths.runs_dir() / name).rename(tmp_path / name)
    found = files_of(tmp_path / "a.tar.gz")
    del found["capsule.json"]
    path = packed(tmp_path / "b.tar.gz", retold(found, "init.safetensors", spoil(EMBEDDING, 7.0)))
    assert refused(path) == "init.safetensors is not what the run began with"


def test_a_run_that_is_not_there_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(MinitfError, match="There is no run"):
        exported("nobody", tmp_path / "a.tar.gz")
    assert not (tmp_path / "a.tar.gz").exists()
