"""The box from which a run is exported."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual import on
from textual.content import Content

from core import paths
from core.events import Event, Export, ExportCompleted
from core.transfers import FORMATS, NUMBER_TYPES, file_name
from minitf_tui.job import Device
from minitf_tui.transfer_readings import export_lines
from minitf_tui.widgets.form import Form, Item
from minitf_tui.widgets.pane import Recipes
from minitf_tui.widgets.transfer import Drafts, Transfer, bare

if TYPE_CHECKING:
    from core.recipes import Session


def place_of(run: str, format: str, number_type: str) -> str:
    """Where it goes unless somebody says otherwise, absolute."""
    name = file_name(run, format, number_type if format == "gguf" else NUMBER_TYPES[0])
    try:
        place = str(paths.absolute(name))
        place.encode()
    except (OSError, UnicodeError):  # the working folder is gone, or its name is no text
        return name
    return place


class ExportBox(Transfer[Export]):
    """Write a run for other programs."""

    NAME = "export"
    JOB = "export"
    LEFT_BEHIND = "stopped, and nothing was written; Enter starts again"

    def __init__(
        self, device: Device, recipes: Callable[[], Recipes], *, run: str, drafts: Drafts
    ) -> None:
        self._place = place_of(run, FORMATS[0], NUMBER_TYPES[0])
        items = (
            Item(
                "format",
                FORMATS[0],
                "hf for transformers, gguf for llama.cpp and Ollama, or a capsule: one file with"
                " all of the run",
                choices=FORMATS,
            ),
            Item(
                "type",
                NUMBER_TYPES[0],
                "numbers of the weights: fewer bits are smaller and less exact",
                choices=NUMBER_TYPES,
            ),
            Item("place", self._place, "the folder or file that is written", is_wide=True),
            Item("overwrite", False, "replace what is there", choices=("on", "off")),
        )
        super().__init__(device, recipes, title=f"export {run}", items=items, drafts=drafts)
        self.run = run

    def on_mount(self) -> None:
        """What can be done only once it is on the screen."""
        self._form_changed()

    @on(Form.Changed)
    def _form_changed(self) -> None:
        """A place that nobody has changed goes with the format."""
        texts = self.form.texts()
        self.form.query_one("#row-type").display = texts["format"] == "gguf"
        place = place_of(self.run, texts["format"], texts["type"])
        if texts["place"] == self._place != place:
            self.form.fill({"place": place})
        self._place = place

    def make(self) -> Session:
        """See `Transfer.make`."""
        values = self.form.values()
        return self.recipes().exporting(
            self.run,
            format=values["format"],
            out=bare(values["place"]) or self._place,
            number_type=values["type"] if values["format"] == "gguf" else NUMBER_TYPES[0],
            overwrite=values["overwrite"],
        )

    def result_of(self, event: Event) -> Export | None:
        """See `Transfer.result_of`."""
        return event.result if isinstance(event, ExportCompleted) else None

    def lines(self, result: Export) -> Content:
        """See `Transfer.lines`."""
        self.border_title = Content(f"exported {self.run}")
        return export_lines(result)
