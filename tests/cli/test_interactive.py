"""`minitf generate --interactive`: lines in, continuations out."""

from __future__ import annotations

import dataclasses
import io
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.config import SamplingConfig
from core.errors import RunError, TokenizerError
from core.events import GenerationFinished, SetupProgressed
from minitf_tui.cli import interactive, lines
from tests.cli import scripted

HINTS = "/help lists them."


class FakeConversation:
    """Answers each line with the next reply; remembers what was done to it."""

    def __init__(self, replies: Iterable[Any] = ()) -> None:
        self.replies = list(replies)
        self.said: list[str] = []
        self.done: list[Any] = []
        self.sampling = SamplingConfig(stop=("\n",))
        self.text, self.n_tokens = "all\x1b so far", 7
        self.can_undo = True
        self.problem: Exception | None = None
        self.is_stopped = False

    def open(self) -> Iterator[Any]:
        yield SetupProgressed(stage="loading the run")
        if self.problem:
            raise self.problem

    def say(self, line: str) -> Iterator[Any]:
        self.said.append(line)
        self.is_stopped = False
        reply = self.replies.pop(0) if self.replies else ("a ", "reply")
        if isinstance(reply, Exception):
            raise reply
        read, *tokens, end = scripted.generated(*(r for r in reply if isinstance(r, str)))
        yield read
        for item in reply:
            if callable(item):
                item()
            else:
                yield tokens.pop(0)
            if self.is_stopped:
                return
        yield end

    def stop(self) -> None:
        self.is_stopped = True

    def undo(self) -> bool:
        self.done.append("undo")
        return self.can_undo

    def reset(self) -> None:
        self.done.append("reset")

    def reseed(self, seed: int) -> None:
        self.done.append(("seed", seed))


@pytest.fixture
def conversation(recipes, monkeypatch: pytest.MonkeyPatch) -> FakeConversation:
    fake = FakeConversation()

    def conversing(*args: Any, **kwargs: Any) -> FakeConversation:
        recipes.calls.append(("conversing", args, kwargs))
        return fake

    monkeypatch.setattr(recipes, "conversing", conversing, raising=False)
    return fake


@pytest.fixture
def talk(minitf, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Pipe lines into it."""

    def call(text: str, *words: str) -> Any:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        return minitf("generate", *words, "--interactive")

    return call


def test_each_line_of_a_pipe_gives_a_line(talk, conversation, recipes) -> None:
    conversation.replies = [(" upon", " a time"), (), (" end",)]
    outcome = talk("Once\n\nthe\n", "best", "--temperature", "0", "--threads", "1")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == " upon a time\n\n end\n"
    assert conversation.said == ["Once", "", "the"]
    sampling = SamplingConfig(temperature=0.0, stop=("\n",))
    assert recipes.call == ("conversing", ("best", sampling), {"threads": 1})


def test_what_a_reply_held_back_is_written_at_its_end(talk, conversation, monkeypatch) -> None:
    *events, end = scripted.generated("a", "")
    result = dataclasses.replace(end.result, text="a EN")
    told = [*events, GenerationFinished(result=result)]
    monkeypatch.setattr(conversation, "say", lambda line: (event for event in told))
    assert talk("one\n").out == "a EN\n"


def test_a_last_line_without_an_end_counts_and_one_of_windows_too(talk, conversation) -> None:
    talk("one\r\ntwo")
    assert conversation.said == ["one", "two"]


def test_a_prompt_is_the_first_line_and_stop_strings_replace_the_line_break(
    talk, conversation, recipes
) -> None:
    talk("more\n", "--prompt", "Once", "--stop", "END")
    assert conversation.said == ["Once", "more"]
    assert recipes.call[1][1].stop == ("END",)


@pytest.mark.parametrize("words", [["--json"], ["--count", "2"]])
def test_what_makes_no_sense_in_turns_is_refused(refused, conversation, words) -> None:
    message = refused("generate", "--interactive", *words)
    assert "--interactive and --" in message
    assert f" and {words[0]} do not go together.\nLeave one of them out." in message


def test_a_run_that_cannot_be_opened_ends_it(talk, conversation) -> None:
    conversation.problem = RunError("There is no run 'x'.", hint="Try minitf runs.")
    outcome = talk("Once\n", "x")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "minitf: There is no run 'x'.\nTry minitf runs.\n"
    assert conversation.said == []


def test_a_line_that_cannot_be_read_is_told_and_the_next_one_answered(talk, conversation) -> None:
    conversation.replies = [TokenizerError("No character 'é'.", hint="Leave it out."), ("b",)]
    outcome = talk("é\na\n")
    assert (outcome.code, outcome.out) == (2, "b\n")
    assert outcome.err == "minitf: No character 'é'.\nLeave it out.\n"


def test_text_is_made_safe_for_a_terminal_and_left_alone_in_a_pipe(
    talk, conversation, terminal
) -> None:
    conversation.replies = [("\x1b[31m",)]
    assert talk("a\n/show\n").out == "\x1b[31m\nall\x1b so far\n"
    screen = terminal("stdout")
    conversation.replies = [("\x1b[31m",)]
    talk("a\n/show\n")
    assert screen.getvalue() == "·[31m\nall· so far\n"


def test_commands(talk, conversation) -> None:
    outcome = talk("/undo\n/reset\n/seed 3\n/seed 3\n/set top-k 5\n/set cache none\n/show\n//x\n")
    assert outcome.code == 0
    assert conversation.done == ["undo", "reset", ("seed", 3), ("seed", 3)]
    assert (conversation.sampling.top_k, conversation.sampling.cache) == (5, "none")
    assert conversation.said == ["/x"]
    assert outcome.out == "all\x1b so far\na reply\n"
    assert outcome.err == "Taken back; the text has 7 tokens now.\nEverything is forgotten.\n"


def test_stop_strings_are_set_with_bars_and_cleared_with_nothing(talk, conversation) -> None:
    talk("/set stop \\n\\n | The end\n")
    assert conversation.sampling.stop == ("\n\n", "The end")
    talk("/set stop\n")
    assert conversation.sampling.stop == ()


def test_settings_are_listed_as_they_are_typed(talk, conversation) -> None:
    conversation.sampling = SamplingConfig(stop=("\n", "a|b"), temperature=0.25, cache="none")
    rows = {line.split()[0]: line for line in talk("/set\n").err.splitlines()}
    assert set(rows) == {
        name for name in SamplingConfig.__dataclass_fields__ if name not in ("prompt", "count")
    }
    assert r"\n | a\|b" in rows["stop"]
    assert " 0.25 " in rows["temperature"]
    assert " none " in rows["cache"]


def test_a_setting_cannot_reach_the_terminal(talk, conversation) -> None:
    conversation.sampling = SamplingConfig(stop=("\U000e0001", "\x1b[2J"))
    assert r"\U000e0001 | \x1b[2J" in talk("/set\n").err
    assert talk("/set\n").err.replace("\n", "").isprintable()


def test_help_names_every_command(talk, conversation) -> None:
    text = talk("/help\n").err
    found = interactive.Talk(conversation, lines.Pipe())
    for name in found._commands:
        assert name == "help" or f"/{name}" in text


def test_quit_leaves_before_the_next_line(talk, conversation) -> None:
    assert talk("one\n/quit\ntwo\n").code == 0
    assert conversation.said == ["one"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/hlep", "There is no command '/hlep'.\nDid you mean /help?"),
        ("/\x1b", f"There is no command '/\\x1b'.\n{HINTS}"),
        ("/xyzzy", f"There is no command '/xyzzy'.\n{HINTS}"),
        ("/set temprature 1", "There is no setting 'temprature'.\nDid you mean temperature?"),
        ("/set count 3", "There is no setting 'count'.\nSettings: max_new_tokens, stop,"),
        ("/set top_k x", "top_k='x' is not a whole number.\nAs in /set top_k 0."),
        ("/set temperature", "temperature='' is not a number.\nAs in /set temperature 0.8."),
        (
            "/set cache maybe",
            "cache='maybe' is not one of static, none, window, sinks, int8.\nKnown: ",
        ),
        ("/set top_p 3", "top_p=3 is not in (0, 1].\nTry top_p=0.9."),
        ("/seed", "seed='' is not a whole number.\nAs in /set seed 0."),
    ],
)
def test_a_bad_command_gets_one_sentence_and_changes_nothing(
    talk, conversation, line, message
) -> None:
    before = conversation.sampling
    outcome = talk(f"{line}\nOnce\n")
    assert outcome.err.startswith(f"minitf: {message}")
    assert (outcome.code, outcome.out) == (2, "a reply\n")
    assert conversation.sampling == before


def test_nothing_to_undo_is_a_sentence(talk, conversation) -> None:
    conversation.can_undo = False
    assert talk("/undo\n").err == "minitf: There is nothing to take back.\n"


def test_an_interrupt_ends_the_reply_and_not_the_conversation(talk, conversation) -> None:
    conversation.replies = [("a ", lambda: os.kill(os.getpid(), signal.SIGINT), "reply"), ("b",)]
    outcome = talk("one\ntwo\n")
    assert outcome.code == 0
    assert outcome.out == "a \nb\n"
    assert "Stopping" not in outcome.err
    assert conversation.said == ["one", "two"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_other_signals_end_it(talk, conversation, number, code) -> None:
    before = signal.getsignal(number)
    conversation.replies = [(lambda: os.kill(os.getpid(), number), "a")]
    outcome = talk("one\ntwo\n")
    assert (outcome.code, conversation.said) == (code, ["one"])
    assert signal.getsignal(number) is before


# At a keyboard.


class Keys:
    """A source that a person seems to be typing at."""

    is_live = True

    def __init__(self, *typed: Any) -> None:
        self.typed = list(typed)
        self.is_left = False

    def __enter__(self) -> Keys:
        return self

    def __exit__(self, *_: object) -> None:
        self.is_left = True

    def read(self) -> str:
        item = self.typed.pop(0) if self.typed else EOFError()
        if isinstance(item, BaseException):
            raise item
        if callable(item):
            return str(item())
        return str(item)


def hold(conversation: FakeConversation, *typed: Any) -> tuple[int, Keys]:
    keys = Keys(*typed)
    return interactive.Talk(conversation, keys).hold(), keys  # type: ignore[arg-type]


def test_an_interrupt_at_the_prompt_gives_another_line(conversation, capsys) -> None:
    code, keys = hold(conversation, KeyboardInterrupt(), "one")
    assert (code, conversation.said, keys.is_left) == (0, ["one"], True)
    assert interactive.GREETING in capsys.readouterr().err


def test_a_mistake_at_a_keyboard_is_no_failure(conversation) -> None:
    assert hold(conversation, "/hlep")[0] == 0


def test_a_reply_that_is_empty_is_explained(conversation, capsys) -> None:
    conversation.replies = [()]
    hold(conversation, "one")
    assert "(It ended the line at once. Enter lets it go on.)" in capsys.readouterr().err


def test_a_signal_at_the_prompt_leaves_in_good_order(conversation) -> None:
    code, keys = hold(conversation, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert (code, keys.is_left) == (143, True)


# Lines.


class FakeReadline:
    """What `readline` keeps; its file has one line an entry."""

    def __init__(self) -> None:
        self.entries: list[str] = ["of another program"]

    def clear_history(self) -> None:
        self.entries.clear()

    def set_history_length(self, length: int) -> None:
        self.length = length

    def get_current_history_length(self) -> int:
        return len(self.entries)

    def read_history_file(self, name: str) -> None:
        with Path(name).open() as file:
            self.entries += file.read().splitlines()

    def append_history_file(self, n: int, name: str) -> None:
        with Path(name).open("a") as file:
            file.writelines(f"{entry}\n" for entry in self.entries[len(self.entries) - n :])


def test_history_is_kept_for_its_owner_alone(home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINITF_HOME", str(home / "new"))
    path = home / "new" / lines.HISTORY_NAME
    for added, expected in [(["one", "two"], ["one", "two"]), (["three"], ["one", "two", "three"])]:
        fake = FakeReadline()
        monkeypatch.setattr(lines, "_readline", lambda fake=fake: fake)
        with lines.Keyboard():
            fake.entries += added
        assert path.read_text().splitlines() == expected
        assert path.stat().st_mode & 0o777 == 0o600
        path.chmod(0o644)


def test_a_history_that_cannot_be_kept_is_no_reason_to_stop(home, monkeypatch) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("MINITF_HOME", str(home / "file"))
    monkeypatch.setattr(lines, "_readline", FakeReadline)
    with lines.Keyboard():
        pass


def test_a_python_without_readline_reads_lines_too(terminal, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "readline", None)
    screen, keyboard = terminal("stderr"), terminal("stdin")
    keyboard.write("one\ntwo")
    keyboard.seek(0)
    found = lines.source()
    assert isinstance(found, lines.Keyboard)
    with found:
        assert (found.read(), found.read()) == ("one", "two")
        with pytest.raises(EOFError):
            found.read()
    assert screen.getvalue() == "> > > "


def test_bytes_that_are_no_text_come_through_a_pipe(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\xff\n"), "ascii"))
    with lines.source() as found:
        assert found.read().encode("utf-8", "surrogateescape") == b"a\xff"


def test_bytes_that_are_no_text_come_from_a_keyboard(monkeypatch, home) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\xff\nb\n"), "utf-8"))
    with lines.Keyboard() as found:
        assert found.read().encode("utf-8", "surrogateescape") == b"a\xff"
        assert found.read() == "b"


def test_a_closed_stdin_has_no_lines(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with lines.source() as found, pytest.raises(EOFError):
        found.read()
