"""The text of a run in its capsule: when it is put in, and that it is the same one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from core import api, paths
from core.config import RunConfig
from core.errors import DataError, RunError
from core.interop.capsule import archive
from tests.core.capsule_files import config as config
from tests.core.capsule_files import exported, files_of, restored, run_of
from tests.core.capsule_files import whole as whole


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
