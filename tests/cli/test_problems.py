from __future__ import annotations

import errno

import pytest

from core.errors import ConfigError
from minitf_tui import problems


def _raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_an_expected_error_is_a_sentence_and_a_hint():
    error = ConfigError("d_model=30 does not divide into n_heads=4.", hint="Try d_model=28 or 32.")
    assert problems.explain(error) == (
        "d_model=30 does not divide into n_heads=4.\nTry d_model=28 or 32."
    )
    assert problems.explain(ConfigError("No.")) == "No."
    assert not problems.log_file().exists()


def test_an_unexpected_error_is_one_sentence_and_a_report_in_the_log():
    words = problems.explain(_raised(ValueError("boom")))
    assert words == (
        "This is a fault in minitf (ValueError: boom); "
        f"the full report is in {problems.log_file()}."
    )
    log = problems.log_file().read_text(encoding="utf-8")
    assert "Traceback (most recent call last)" in log
    assert "ValueError: boom" in log
    assert problems.explain(_raised(KeyError())).startswith("This is a fault in minitf (KeyError);")
    assert problems.log_file().read_text(encoding="utf-8").startswith(log)


def test_a_log_that_cannot_be_written_is_said_too(home):
    home.rmdir()
    home.write_text("in the way")
    words = problems.explain(_raised(ValueError("boom")))
    assert words.endswith("and the log file cannot be written.")


def test_a_long_log_is_put_aside(monkeypatch):
    monkeypatch.setattr(problems, "LARGEST_LOG_BYTES", 10)
    problems.record(_raised(ValueError("first")))
    problems.record(_raised(ValueError("second")))
    assert "first" not in problems.log_file().read_text()
    assert "first" in problems.log_file().with_suffix(".old.log").read_text()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain äöü 文字", "plain äöü 文字"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines", "two\\nlines"),
        ("\x9b\x00", "\\x9b\\x00"),
        ("a\u202eb", "a\\u202eb"),
        ("\udcff", "\\udcff"),
    ],
)
def test_no_character_reaches_a_terminal_that_it_would_act_on(text, shown):
    assert problems.escape(text) == shown
    assert problems.explain(ConfigError(text)) == shown


def test_values_are_quoted_and_not_endless():
    assert problems.quoted("a\x1b") == "'a\\x1b'"
    assert len(problems.quoted("x" * 10_000)) <= 60
    assert len(problems.explain(ValueError("x" * 10_000))) < 700


class OutOfMemoryError(RuntimeError):
    """Named like torch's."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "This machine has not enough memory for that.\nTry a smaller model"),
        (OutOfMemoryError("CUDA"), "This machine has not enough memory for that.\n"),
        (RuntimeError("can't allocate memory: 4 TB"), "This machine has not enough memory"),
        (OSError(errno.ENOSPC, "", "a\x1b"), "There is no space left on the disk: 'a\\x1b'.\n"),
        (PermissionError(errno.EACCES, "", "a"), "The system denies access: 'a'.\nMINITF_HOME="),
        (OSError(errno.EROFS, ""), "The disk is read-only.\n"),
    ],
)
def test_what_the_machine_refuses_is_no_fault_of_ours(error, words):
    assert problems.explain(error).startswith(words)
    assert problems.recognised(error) is not None
    assert not problems.log_file().exists()


def test_other_errors_are(home):
    for error in (RuntimeError("x"), OSError(errno.EIO, ""), KeyboardInterrupt()):
        assert problems.recognised(error) is None


def test_a_value_without_end_is_not_repeated_in_full():
    words = problems.explain(ConfigError(f"{'9' * 5000} is too much.", hint="\x1b" * 5000))
    assert all(len(line) <= problems.LONGEST_SENTENCE for line in words.split("\n"))
    assert "is too much." in words
    assert "\x1b" not in words
