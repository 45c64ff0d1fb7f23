"""`minitf generate`: let a model write, token by token."""

from __future__ import annotations

from core.config import SamplingConfig
from core.events import Event, Generation, GenerationFinished, PromptRead, TokenGenerated
from core.events import SetupProgressed as Setup
from minitf_tui.cli import output, reports
from minitf_tui.cli.arguments import JSON, Arguments, Command, field_names, flags_of
from minitf_tui.cli.evaluate import MACHINE, MACHINE_FLAGS
from minitf_tui.cli.progress import ProgressLine
from minitf_tui.cli.running import drive

COMMAND = Command(
    name="generate",
    about="Let a model continue a text. Ctrl-C ends it early.",
    flags=(*flags_of(SamplingConfig()), JSON, *MACHINE_FLAGS),
    notes=("The text goes to stdout as it is written, and its speed to stderr.",),
)


def execute(arguments: Arguments) -> int:
    """Generate, stream, and return the exit code."""
    from core import recipes

    sampling = SamplingConfig(**arguments.among(field_names(SamplingConfig())))
    session = recipes.generation(arguments.run, sampling, **arguments.among(MACHINE))
    writer = Writer(ProgressLine(), is_silent=bool(arguments.get("json")))
    try:
        interruption = drive(session, writer)
    finally:
        writer.close()
    if writer.result is not None:
        if arguments.get("json"):
            output.say_json(writer.result)
        else:
            output.tell(reports.generation(writer.result))
    return interruption.exit_code


class Writer:
    """Shows a text on stdout while it is written, and ends it with a new line."""

    def __init__(self, line: ProgressLine, *, is_silent: bool) -> None:
        self.line = line
        self.result: Generation | None = None
        self._is_silent = is_silent
        self._has_open_line = False

    def __call__(self, event: Event) -> None:
        """Take note of `event`."""
        match event:
            case Setup():
                if self.line.is_live:
                    self.line.stage(event.stage)
            case PromptRead():
                self._write(event.prompt)
            case TokenGenerated():
                if self._is_silent:
                    self.line.show(f"{event.index} tokens")
                self._write(event.token.text)
            case GenerationFinished():
                self.result = event.result

    def close(self) -> None:
        """Leave the terminal in order, also after an error."""
        self.line.clear()
        if self._has_open_line:
            self._has_open_line = False
            output.say()

    def _write(self, text: str) -> None:
        if self._is_silent or not text:
            return
        self.line.clear()
        output.say(output.safe(text), end="")
        self._has_open_line = not text.endswith("\n")
