"""The box with the newest words of the model."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from core.events import SampleCompleted
from minitf_tui.sanitize import clean, clean_line

LONGEST_PROMPT = 48


class SampleBox(Container):
    """What the model wrote last, after the prompt it was given."""

    def __init__(self) -> None:
        super().__init__(id="sample-box", classes="box")
        self._text = Static("", id="sample", markup=False)

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self._text

    def await_first(self, interval: int) -> None:
        """Say when the first words come; 0 is at the end."""
        when = f"after step {interval}" if interval else "at the end"
        self.border_title = "sample"
        self._text.update(Content.assemble((f"The model's first words come {when}.", "$quiet")))

    def show(self, event: SampleCompleted) -> None:
        """Show a sample; it is cleaned here."""
        prompt = clean_line(event.prompt)[-LONGEST_PROMPT:]
        text = "\n".join(line for line in clean(event.text).split("\n") if line.strip())
        told = f"   {clean_line(event.verdict)}" if event.verdict else ""
        style = "$success" if event.text == event.answer else "$warning"
        self._text.update(
            Content.assemble((prompt, "$quiet"), (text, "$foreground"), (told, style))
        )
        self.border_title = f"sample at step {event.step:,}"
