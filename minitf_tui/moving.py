"""The app out of which models go and into which they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from minitf_tui.leaving import LeavingApp

if TYPE_CHECKING:
    from minitf_tui.widgets.pane import Recipes
    from minitf_tui.widgets.transfer import Drafts


class MovingApp(LeavingApp):
    """Opens the boxes of export and import, over whatever pane is shown."""

    def __init__(self, recipes: Callable[[], Recipes]) -> None:
        super().__init__()
        self._recipes = recipes
        self._drafts: Drafts = {}

    def use_run(self, name: str) -> None:
        """Have all panes work with that run."""

    def run_arrived(self, name: str) -> None:
        """A run has come that was not there before."""

    def export_run(self, name: str) -> None:
        """Ask how and where to, then write a run for other programs."""
        from minitf_tui.widgets.export_box import ExportBox  # not before the first frame
        from minitf_tui.widgets.transfer import TransferScreen

        box = ExportBox(self.device, self._recipes, run=name, drafts=self._drafts)
        self.push_screen(TransferScreen(box))

    def import_model(self) -> None:
        """Ask for a model from elsewhere, and make a run of it."""
        from minitf_tui.widgets.import_box import ImportBox
        from minitf_tui.widgets.transfer import TransferScreen

        box = ImportBox(self.device, self._recipes, drafts=self._drafts)

        def left(wanted: str | None) -> None:
            if box.result is not None:
                self.run_arrived(box.result.run)
            if wanted:
                self.use_run(wanted)

        self.push_screen(TransferScreen(box), left)
