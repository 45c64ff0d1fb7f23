"""The app out of which models go, into which they come, and in which two meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from minitf_tui.leaving import LeavingApp

if TYPE_CHECKING:
    from core.config import RunConfig
    from core.store.duels import KeptDuel
    from minitf_tui.widgets.pane import Recipes
    from minitf_tui.widgets.transfer import Drafts


class MovingApp(LeavingApp):
    """Opens the boxes of export, import and duel, over whatever pane is shown."""

    def __init__(self, recipes: Callable[[], Recipes]) -> None:
        super().__init__()
        self._recipes = recipes
        self._drafts: Drafts = {}

    def use_run(self, name: str) -> None:
        """Have all panes work with that run."""

    def settings_of_form(self) -> RunConfig:
        """What stands in the Train pane.

        Raises:
            MinitfError: the settings are impossible.
        """
        raise NotImplementedError

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

    def duel(
        self, a: str = "", b: str = "", runs: Sequence[str] = (), kept: KeptDuel | None = None
    ) -> None:
        """Ask for two sides and let them learn in lockstep; or show a duel that is kept.

        Args:
            a: a preset, a run or a file; empty is the form of the Train pane.
            runs: names to complete what is typed.
        """
        from minitf_tui.widgets.duel_box import DuelBox
        from minitf_tui.widgets.duel_screen import DuelScreen

        of = self.settings_of_form
        box = DuelBox(self.device, self._recipes, of, a=a, b=b, runs=runs, kept=kept)
        self.push_screen(DuelScreen(box))
