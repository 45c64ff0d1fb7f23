"""`minitf generate`: let a model write, token by token."""

from __future__ import annotations

from typing import Any

from core.config import SamplingConfig
from core.events import (
    Event,
    Generation,
    GenerationBatch,
    GenerationFinished,
    PromptRead,
    TokenGenerated,
)
from core.events import SetupProgressed as Setup
from minitf_tui.cli import output, reports
from minitf_tui.cli.arguments import (
    JSON,
    Arguments,
    Command,
    Flag,
    UsageError,
    field_names,
    flags_of,
)
from minitf_tui.cli.evaluate import MACHINE, MACHINE_FLAGS
from minitf_tui.cli.progress import ProgressLine
from minitf_tui.cli.running import drive
from minitf_tui.problems import escape

NO_CACHE = Flag("no-cache", bool, "the same as --cache none")
INTERACTIVE = Flag("interactive", bool, "write in turns: it continues each line that you type")
COMMAND = Command(
    name="generate",
    about="Let a model continue a text. Ctrl-C ends it early.",
    flags=(*flags_of(SamplingConfig()), NO_CACHE, INTERACTIVE, JSON, *MACHINE_FLAGS),
    notes=(
        "The text goes to stdout as it is written, and its speed to stderr. With --count",
        "the first continuation is shown while all are written, the others after it.",
        "With --interactive a reply ends with its line unless --stop says otherwise, and",
        "/help lists what can be typed; lines from a pipe are answered one by one.",
    ),
)


def execute(arguments: Arguments) -> int:
    """Generate, stream, and return the exit code."""
    if arguments.get("interactive"):
        from minitf_tui.cli import interactive

        return interactive.execute(arguments)
    from core import recipes

    sampling = sampling_of(arguments)
    session = recipes.generation(arguments.run, sampling, **arguments.among(MACHINE))
    writer = Writer(ProgressLine(), sampling, is_silent=bool(arguments.get("json")))
    try:
        interruption = drive(session, writer)
    finally:
        writer.close()
    if writer.result is not None:
        if arguments.get("json"):
            output.say_json(writer.result)
        else:
            output.tell("\n".join([reports.generation(writer.result), *writer.notes]))
    return interruption.exit_code


def sampling_of(arguments: Arguments, **defaults: Any) -> SamplingConfig:
    """What was typed of the sampling, over `defaults`.

    Raises:
        UsageError: two flags contradict each other.
    """
    given = defaults | arguments.among(field_names(SamplingConfig()))
    if arguments.get("no_cache"):
        if given.get("cache", "none") != "none":
            raise UsageError(
                f"--no-cache and --cache {given['cache']} do not go together.",
                hint="Leave one of them out.",
            )
        given["cache"] = "none"
    return SamplingConfig(**given)


class Writer:
    """Shows a text on stdout while it is written, then the others beside it."""

    def __init__(self, line: ProgressLine, sampling: SamplingConfig, *, is_silent: bool) -> None:
        self.line = line
        self.result: Generation | GenerationBatch | None = None
        self.notes: list[str] = []
        """Why it is not decoded as it was wished."""
        self._count, self._seed = sampling.count, sampling.seed
        self._is_silent = is_silent
        self._prompt = ""
        self._n_shown = 0
        """Characters of the first continuation that are on the screen."""
        self._has_open_line = False

    def __call__(self, event: Event) -> None:
        """Take note of `event`."""
        match event:
            case Setup():
                if self.line.is_live:
                    self.line.setup(event)
            case PromptRead():
                self._prompt = event.prompt
                self.notes += [escape(event.note)] if event.note else []
                self._begin(0)
            case TokenGenerated(row=0):
                if self._is_silent:
                    self.line.show(f"{event.index} tokens")
                self._n_shown += len(event.token.text)
                self._write(event.token.text)
            case GenerationFinished():
                self.result = event.result
                first, *others = event.continuations
                self._write(first.text[self._n_shown :])
                for row, other in enumerate(others, 1):
                    self._begin(row)
                    self._write(other.text)

    def close(self) -> None:
        """Leave the terminal in order, also after an error."""
        self.line.clear()
        if self._has_open_line:
            self._has_open_line = False
            output.say()

    def _begin(self, row: int) -> None:
        if self._count > 1:
            self.close()
            gap = "\n" if row else ""
            heading = f"[{row + 1} of {self._count}, seed {self._seed + row}]"
            self._write(f"{gap}{heading}\n")
        self._write(self._prompt)

    def _write(self, text: str) -> None:
        if self._is_silent or not text:
            return
        self.line.clear()
        output.say(output.safe(text), end="")
        self._has_open_line = not text.endswith("\n")
