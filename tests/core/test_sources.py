"""What a corpus may be called, and which texts that means."""

from __future__ import annotations

import io
import os
import sys
import sysconfig
import threading
from pathlib import Path

import pytest

from core import paths
from core.config import TextConfig
from core.errors import ConfigError, DataError
from core.events import SetupProgressed
from core.store.tokens import tokenize_corpus
from core.testing import result_of
from core.text.corpus import load_corpus
from core.text.sources import find_source, full_name, is_stream, run_stem, size_of


def text_of(name: str) -> str:
    return "".join(load_corpus(name).pieces())


def refused(name: str) -> tuple[str, str]:
    with pytest.raises(DataError) as caught:
        load_corpus(name)
    return str(caught.value), caught.value.hint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Texts, and what is none."""
    root = tmp_path / "notes"
    for name, data in {
        "b.txt": b"second",
        "a/z.md": b"first",
        "a.md": b"a.md comes after a/z.md",
        "c.bin": b"\x7fELF\0",
        "latin.txt": "é".encode("latin1"),
        "empty.txt": b"",
        ".hidden": b"secret",
        ".git/config": b"secret",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def test_a_folder_is_its_texts_in_the_order_of_their_paths(folder: Path) -> None:
    corpus = load_corpus(str(folder))
    assert "".join(corpus.pieces()) == "first\n\na.md comes after a/z.md\n\nsecond"
    assert corpus.n_chars == len("".join(corpus.pieces()))
    assert corpus.name == str(folder)


def test_what_a_folder_leaves_out_is_counted_and_told(folder: Path) -> None:
    config = TextConfig(corpus=str(folder), tokenizer="byte")
    events = list(tokenize_corpus(config))
    remarks = [event.remark for event in events if event.remark]
    assert remarks == ["4 files left out: 1 binary, 2 hidden, 1 not UTF-8"]
    assert dict(load_corpus(str(folder)).left_out) == {
        "hidden": 2,
        "binary": 1,
        "not UTF-8": 1,
    }


def test_the_fingerprint_of_a_folder_knows_nothing_of_what_was_left_out(folder: Path) -> None:
    before = load_corpus(str(folder)).sha256
    (folder / "c.bin").write_bytes(b"some text and then \0")
    (folder / "bad.txt").write_bytes(b"good at first" * 20_000 + b"\xff")
    corpus = load_corpus(str(folder))
    assert corpus.sha256 == before
    assert corpus.left_out["not UTF-8"] == 2


def test_a_folder_without_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f/x").write_bytes(b"\0")
    hint = "Name a folder or pattern with text files in UTF-8."
    name = str(tmp_path / "f")
    assert refused(name) == (f"There is no text in {name!r}: 1 file left out: 1 binary.", hint)
    (tmp_path / "f/x").unlink()
    assert refused(name) == (f"There is no text in {name!r}.", hint)


def test_pipes_dead_links_and_closed_folders_are_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to(folder / "nowhere")
    assert load_corpus(str(folder)).left_out["unreadable"] == 2
    real = os.scandir

    def closed(path: str) -> object:
        if str(path) == str(folder / "a"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert load_corpus(str(folder)).left_out["unreadable"] == 3


def test_a_pattern_is_the_texts_that_match(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    corpus = load_corpus("**/*.md")
    assert "".join(corpus.pieces()) == "a.md comes after a/z.md\n\nfirst"
    assert load_corpus("*").left_out == {"binary": 1, "not UTF-8": 1}
    assert refused("*.rst") == (
        f"No file matches '{folder}/*.rst'.",
        "** looks into folders, as in 'src/**/*.md'; quote it for the shell.",
    )


def test_a_file_that_two_ways_lead_to_is_read_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "again").symlink_to(folder / "a")
    assert text_of(f"{folder}/**/z.md") == "first"


def test_a_name_means_the_same_from_any_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "od[d]"
    folder.rename(odd)
    monkeypatch.chdir(odd)
    names = [full_name(name) for name in ("a.md", ".", "a", "**/*.md", f"{odd}/a.md")]
    texts = [text_of(name) for name in ("a.md", ".", "a", "**/*.md", f"{odd}/a.md")]
    monkeypatch.chdir("/")
    assert [text_of(name) for name in names] == texts
    assert [full_name(name) for name in names] == names
    assert full_name("~/x/*.md") == str(Path("~/x/*.md").expanduser())


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="all names are Unicode there")
def test_a_folder_whose_name_is_not_utf8_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / os.fsdecode(b"d\xe9")
    odd.mkdir()
    (odd / "a.txt").write_text("text")
    monkeypatch.chdir(odd)
    for name, where in ("a.txt", "a.txt"), ("*.txt", "*.txt"), (".", ""):
        path = str(odd / where).encode("utf-8", "backslashreplace").decode()
        assert refused(name) == (
            f"The path '{path}' is not UTF-8, so no run could keep it.",
            "Rename the folder, or move the text to another one.",
        )
    assert full_name("python-docs") == "python-docs"


@pytest.mark.parametrize("name", ["python-docs", "python-source", "-", f"stdin:{'0' * 64}"])
def test_what_is_no_path_stays_as_it_is(name: str) -> None:
    assert full_name(name) == name


def test_a_file_that_looks_like_a_pattern_is_a_file(tmp_path: Path) -> None:
    for name in ("a*.txt", "ab.txt"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    assert text_of(str(tmp_path / "a*.txt")) == "a*.txt"


@pytest.mark.slow
def test_python_source_is_the_standard_library_without_its_tests() -> None:
    corpus = load_corpus("python-source")
    text = "".join(corpus.pieces())
    root = Path(sysconfig.get_path("stdlib"))
    assert corpus.name == "python-source"
    assert text.startswith((root / "__future__.py").read_text(encoding="utf-8"))
    assert (root / "json/decoder.py").read_text(encoding="utf-8") in text
    assert 5_000_000 < len(text) < 50_000_000
    assert text.count("(unittest.TestCase)") < 20, "its tests have thousands"
    assert load_corpus("python-source").sha256 == corpus.sha256


def test_python_files_are_decoded_as_they_declare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "latin.py").write_bytes("# coding: latin1\r\n'é'\r\n".encode("latin1"))
    (tmp_path / "unknown.py").write_bytes(b"# coding: klingon\n")
    (tmp_path / "wrong.py").write_bytes(b"'\xff'\n")
    (tmp_path / "notes.txt").write_bytes(b"no Python")
    (tmp_path / "empty.py").write_bytes(b"")
    for name in ("test", "lib2to3/tests", "idlelib/idle_test", "site-packages"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x.py").write_bytes(b"tests")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    corpus = load_corpus("python-source")
    assert "".join(corpus.pieces()) == "# coding: latin1\n'é'\n"
    assert corpus.left_out == {"unreadable": 2}


def test_a_python_without_its_source_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / "no"))
    assert refused("python-source") == (
        "This Python lacks the source of its standard library, the text python-source.",
        "Install the full standard library, or use --corpus FILE.",
    )


class Piped(io.TextIOWrapper):
    """In the place of stdin."""

    def __init__(self, data: bytes, *, is_terminal: bool = False) -> None:
        super().__init__(io.BytesIO(data))
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def tokenize(name: str) -> tuple[str, str]:
    """The full name and the text of a corpus, by way of its tokens."""
    found = result_of(tokenize_corpus(TextConfig(corpus=name, tokenizer="byte")))
    assert found is not None
    text = found.tokenizer.decode([*found.train_ids.tolist(), *found.validation_ids.tolist()])
    return found.corpus, text


def test_what_comes_from_stdin_is_kept_under_a_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "what was piped in, naïvely\r\n" * 9000
    monkeypatch.setattr(sys, "stdin", Piped(b"\xef\xbb\xbf" + text.encode()))
    name, found = tokenize("-")
    assert found == text
    corpus = load_corpus(name)
    assert name == f"stdin:{corpus.sha256}" == full_name(name)
    assert corpus.title == name[:14]
    assert "".join(corpus.pieces()) == text
    (copy,) = (paths.cache_dir() / "texts").iterdir()
    copy.unlink()
    assert refused(name) == (
        f"The text {name[:12]}… that came from stdin is no longer in {str(copy.parent)!r}.",
        "Pipe it in again with --corpus -: the same text gets the same name.",
    )
    monkeypatch.setattr(sys, "stdin", Piped(text.encode()))
    assert tokenize("-")[0] == name


@pytest.mark.parametrize(
    ("stdin", "message", "hint"),
    [
        (
            Piped(b"typed", is_terminal=True),
            "There is no text on stdin.",
            "Pipe one in: cat book.txt | minitf train --corpus -",
        ),
        (None, "There is no text on stdin.", "Pipe one in: cat book.txt | minitf train --corpus -"),
        (Piped(b""), "The text on stdin is empty.", "Choose a text of a few KB."),
        (
            Piped(b"ab\xe9"),
            "The text on stdin is not UTF-8: byte 2 is 0xe9.",
            "Pipe it through iconv -t utf-8 -f latin1.",
        ),
        (
            Piped(b"ab\0"),
            "The text on stdin is not text: byte 2 is NUL.",
            "Choose a plain text file in UTF-8.",
        ),
    ],
    ids=["terminal", "closed", "empty", "latin1", "binary"],
)
def test_a_stdin_that_is_no_text_is_refused_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, stdin: Piped | None, message: str, hint: str
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(DataError) as caught:
        tokenize("-")
    assert (str(caught.value), caught.value.hint) == (message, hint)
    assert not list(paths.cache_dir().rglob("*.*"))


def test_a_named_pipe_is_read_once_and_kept(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert is_stream(str(pipe))
    assert not is_stream(str(tmp_path))
    assert not is_stream("a\0b")
    writer = threading.Thread(target=pipe.write_bytes, args=(b"through a pipe\n" * 50,))
    writer.start()
    name, text = tokenize(str(pipe))
    writer.join()
    assert text == "through a pipe\n" * 50
    assert name.startswith("stdin:")


def test_a_stream_that_cannot_be_opened_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")

    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError) as caught:
        tokenize(str(tmp_path / "pipe"))
    message = f"The file '{tmp_path / 'pipe'}' cannot be read: Permission denied."
    assert (str(caught.value), caught.value.hint) == (message, "Check its permissions.")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("python-docs", "python-docs"),
        ("/texts/river.txt", "river"),
        ("/texts/src/**/*.md", "src"),
        (f"stdin:{'3' * 64}", "stdin"),
        ("/*", ""),
    ],
)
def test_a_run_is_called_after_its_text(name: str, stem: str) -> None:
    assert run_stem(name) == stem


def test_reading_tells_how_far_it_is(folder: Path) -> None:
    (folder / "long.txt").write_text("a long text\n" * 60_000, encoding="utf-8")
    events = list(tokenize_corpus(TextConfig(corpus=str(folder), tokenizer="bpe", vocab_size=300)))
    assert all(isinstance(event, SetupProgressed) for event in events)
    shares: dict[str, list[float]] = {}
    for event in events:
        shares.setdefault(event.stage, [])
        if event.share is not None:
            shares[event.stage].append(event.share)
    assert list(shares) == [
        f"reading {folder}",
        "training a tokenizer",
        f"tokenising {folder}",
    ]
    for stage in (f"reading {folder}", f"tokenising {folder}"):
        assert shares[stage] == sorted(shares[stage])
        assert shares[stage][-1] == pytest.approx(1)
        assert len(shares[stage]) > 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "markov:9:27:100:0",
            "markov_order=9 of markov_alphabet=27 makes more than 65536 contexts.",
        ),
        ("markov:1:99:100:0", "markov_alphabet=99 is not between 2 and 27."),
        ("task:modular:97:100:0", "task_size=97 is not one that task:modular has."),
    ],
)
def test_texts_that_nobody_could_write_are_refused_by_name(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_source(name)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["task:copy:3:100:0", "markov:2:4:100:1"])
def test_a_text_that_minitf_writes_is_there_under_its_whole_name(name: str) -> None:
    assert full_name(name) == name
    assert size_of(name) == 100
