"""The box into which a model from elsewhere comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.content import Content

from core.config import TextConfig
from core.errors import ConfigError
from core.events import Event, Import, ImportCompleted
from minitf_tui.job import Device
from minitf_tui.sanitize import clean_line
from minitf_tui.transfer_readings import import_lines
from minitf_tui.widgets.form import Item
from minitf_tui.widgets.pane import Recipes
from minitf_tui.widgets.transfer import Drafts, Transfer, bare

if TYPE_CHECKING:
    from core.recipes import Session

ITEMS = (
    Item(
        "source",
        "",
        "a folder of transformers, a .gguf, a .bin of llama2.c, a capsule, or hub:OWNER/NAME",
        is_wide=True,
    ),
    Item("name", "", "what the run is called; empty takes the name of the source", is_wide=True),
    Item(
        "corpus",
        TextConfig().corpus,
        "what it is scored on and trained on later, if nothing else is named",
        is_wide=True,
    ),
    Item("tokenizer", "", "tokenizer.bin of a .bin; empty looks beside it", is_wide=True),
    Item("max_seq_len", 0, "positions to keep; 0 keeps all up to 8192", unit="tokens"),
)


class ImportBox(Transfer[Import]):
    """Make a run of a model from elsewhere."""

    NAME = "import"
    JOB = "import"
    LEFT_BEHIND = "stopped, and nothing is left of it; Enter starts again"

    def __init__(self, device: Device, recipes: Callable[[], Recipes], *, drafts: Drafts) -> None:
        super().__init__(device, recipes, title="import a model", items=ITEMS, drafts=drafts)

    def make(self) -> Session:
        """See `Transfer.make`."""
        values = self.form.values()
        source, name, corpus, tokenizer = (
            bare(values[key]) for key in ("source", "name", "corpus", "tokenizer")
        )
        if not source:
            raise ConfigError(
                "There is no source yet.", hint="Name a file, a folder, or hub:OWNER/NAME."
            )
        return self.recipes().importing(
            source,
            name=name or None,
            tokenizer=tokenizer or None,
            corpus=corpus or TextConfig().corpus,
            max_seq_len=values["max_seq_len"],
        )

    def result_of(self, event: Event) -> Import | None:
        """See `Transfer.result_of`."""
        return event.result if isinstance(event, ImportCompleted) else None

    def lines(self, result: Import) -> Content:
        """See `Transfer.lines`."""
        self.border_title = Content(clean_line(f"imported {result.source}"))
        return import_lines(result)
