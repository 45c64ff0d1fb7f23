"""`minitf generate --interactive`: a text that a person and a model write in turns.

What is typed is continued, in a context that holds all turns; a line that begins with `/` is a
command. Replies go to stdout, everything else to stderr, so a pipe that sends lines gets
replies alone. Ctrl-C ends a reply, not the conversation.
"""

from __future__ import annotations

import dataclasses
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from core.config import SamplingConfig
from core.errors import MinitfError
from core.events import Event, GenerationFinished, PromptRead, SetupProgressed, TokenGenerated
from minitf_tui import escapes
from minitf_tui.cli import lines, output
from minitf_tui.cli.arguments import (
    Arguments,
    Flag,
    UsageError,
    flags_of,
    nearest,
    whole,
)
from minitf_tui.cli.evaluate import MACHINE
from minitf_tui.cli.generate import sampling_of
from minitf_tui.cli.progress import ProgressLine
from minitf_tui.cli.running import MISTAKE, STOPPED_BY, SUCCESS, pull
from minitf_tui.problems import escape, explain, quoted

if TYPE_CHECKING:
    from core.recipes import Conversation

DEFAULT_STOP = ("\n",)
NOT_HERE = ("prompt", "count")
"""Settings that mean nothing between two turns."""
GREETING = "It continues what you type. Enter alone lets it go on, /help tells more, Ctrl-D leaves."
HELP = """\
Type a line, and the model continues it; an empty line lets it go on.
  /show              the whole text so far
  /undo              take back the last line and its reply
  /reset             forget everything
  /set               list the settings
  /set NAME VALUE    change one, as in /set temperature 0.5 or /set stop \\n | END
  /seed N            throw the dice anew
  /quit              leave, as Ctrl-D does
Ctrl-C ends a reply. A line that is to begin with / begins with //."""


def execute(arguments: Arguments) -> int:
    """Hold the conversation and return the exit code."""
    for key in ("json", "count"):
        if key in arguments.values:
            raise UsageError(
                f"--interactive and --{key} do not go together.", hint="Leave one of them out."
            )
    from core import recipes

    sampling = sampling_of(arguments, stop=DEFAULT_STOP)
    conversation = recipes.conversing(arguments.run, sampling, **arguments.among(MACHINE))
    return Talk(conversation, lines.source()).hold(sampling.prompt)


class _SignalledError(Exception):
    """The process was told to end while it waited for a line."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _QuitError(Exception):
    """/quit was typed."""


class Talk:
    """A conversation at the terminal."""

    def __init__(self, conversation: Conversation, source: lines.Source) -> None:
        self._conversation = conversation
        self._source = source
        self._exit_code = SUCCESS
        self._flags = {f.key: f for f in flags_of(SamplingConfig()) if f.key not in NOT_HERE}
        self._commands: dict[str, Callable[[str], None]] = {
            "help": self._help,
            "show": self._show,
            "undo": self._undo,
            "reset": self._reset,
            "set": self._set,
            "seed": self._seed,
            "quit": self._quit,
        }

    def hold(self, first_line: str = "") -> int:
        """Answer lines until there are no more; the exit code.

        Raises:
            MinitfError: the run cannot be used.
        """
        try:
            with self._source, _told_of_signals():
                self._open()
                if first_line:
                    self.answer(first_line)
                while True:
                    self.answer(self._next_line())
        except (EOFError, _QuitError):
            if self._source.is_live:
                output.tell("")
            return self._exit_code
        except _SignalledError as end:
            return STOPPED_BY + end.number

    def answer(self, line: str) -> None:
        """Say a line, or do what the command asks; what is wrong with it is told."""
        try:
            if line.startswith("/") and not line.startswith("//"):
                name, _, rest = line[1:].partition(" ")
                self._command(name)(rest.strip())
            else:
                self._say(line[1:] if line.startswith("//") else line)
        except MinitfError as error:
            output.tell(f"minitf: {explain(error)}")
            if not self._source.is_live:
                self._exit_code = MISTAKE

    def _next_line(self) -> str:
        while True:
            try:
                return self._source.read()
            except KeyboardInterrupt:
                output.tell("")

    def _open(self) -> None:
        line = ProgressLine()

        def listen(event: Event) -> None:
            if isinstance(event, SetupProgressed) and line.is_live:
                line.stage(event.stage)

        try:
            interruption = pull(self._conversation.open(), self._conversation.stop, listen)
        finally:
            line.clear()
        if interruption.signal is not None:
            raise _SignalledError(interruption.signal)
        if self._source.is_live:
            output.tell(GREETING)

    def _say(self, line: str) -> None:
        reply = Reply()
        try:
            interruption = pull(
                self._conversation.say(line), self._conversation.stop, reply, is_quiet=True
            )
        finally:
            reply.close()
        if interruption.signal not in (None, signal.SIGINT):
            raise _SignalledError(interruption.signal or 0)
        if reply.is_empty and self._source.is_live:
            output.tell("(It ended the line at once. Enter lets it go on.)")

    # Commands.

    def _command(self, name: str) -> Callable[[str], None]:
        if name not in self._commands:
            hint = nearest(f"/{name}", [f"/{known}" for known in self._commands])
            raise UsageError(
                f"There is no command {quoted('/' + name)}.", hint=hint or "/help lists them."
            )
        return self._commands[name]

    def _help(self, _: str) -> None:
        output.tell(HELP)

    def _show(self, _: str) -> None:
        output.say(output.safe(self._conversation.text))

    def _undo(self, _: str) -> None:
        if not self._conversation.undo():
            raise UsageError("There is nothing to take back.")
        output.tell(f"Taken back; the text has {self._conversation.n_tokens} tokens now.")

    def _reset(self, _: str) -> None:
        self._conversation.reset()
        output.tell("Everything is forgotten.")

    def _set(self, words: str) -> None:
        name, _, text = words.partition(" ")
        if not name:
            output.tell("\n".join(self._settings()))
            return
        key = name.replace("-", "_")
        if key not in self._flags:
            hint = nearest(key, self._flags) or f"Settings: {', '.join(self._flags)}."
            raise UsageError(f"There is no setting {quoted(name)}.", hint=hint)
        value = _meant(self._flags[key], text.strip())
        self._conversation.sampling = dataclasses.replace(
            self._conversation.sampling, **{key: value}
        )

    def _seed(self, text: str) -> None:
        self._conversation.reseed(_meant(self._flags["seed"], text))

    def _quit(self, _: str) -> None:
        raise _QuitError

    def _settings(self) -> Iterator[str]:
        for key, flag in self._flags.items():
            value = getattr(self._conversation.sampling, key)
            yield f"  {key.ljust(20)}{escape(_shown(value)).ljust(12)}{flag.help}"


class Reply:
    """Shows what the model makes of a line, on a line of its own."""

    def __init__(self) -> None:
        self.is_empty = True
        self._n_shown = 0
        self._has_begun = False

    def __call__(self, event: Event) -> None:
        """Take note of `event`."""
        self._has_begun = self._has_begun or isinstance(event, PromptRead)
        if isinstance(event, TokenGenerated):
            self._write(event.token.text)
        elif isinstance(event, GenerationFinished):
            self._write(event.continuations[0].text[self._n_shown :])

    def close(self) -> None:
        """End the line, if there is one."""
        if self._has_begun:
            output.say()

    def _write(self, text: str) -> None:
        self._n_shown += len(text)
        if text:
            self.is_empty = False
            output.say(output.safe(text), end="")


def _meant(flag: Flag, text: str) -> Any:
    """The value that was typed after `/set NAME`.

    Raises:
        UsageError: it is none.
    """
    example = f"As in /set {flag.key} {_shown(flag.default)}."
    if flag.kind is tuple:
        return escapes.read_list(text)
    if flag.kind is str:
        return text
    try:
        return whole(text) if flag.kind is int else float(text)
    except ValueError:
        kind = "a whole number" if flag.kind is int else "a number"
        raise UsageError(f"{flag.key}={quoted(text)} is not {kind}.", hint=example) from None


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return escapes.spell_list(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


@contextmanager
def _told_of_signals() -> Iterator[None]:
    """Let a signal that ends the process end the wait for a line, so that history is kept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        raise _SignalledError(number)

    numbers = [signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:  # else: nohup
        numbers.append(hangup)
    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
