"""A problem of the whole app, below the tabs, until it is solved or sent away."""

from __future__ import annotations

from textual.widgets import Static

from minitf_tui.problems import explain


class Notice(Static):
    """One sentence and a hint; takes no room while there is nothing to say."""

    DEFAULT_CSS = """
    Notice {
        height: auto; width: 1fr; margin: 0 1; padding: 0 1; display: none;
        color: $foreground; background: $warning 14%; border-left: thick $warning;
        &.-said { display: block; }
    }
    """

    def __init__(self) -> None:
        super().__init__("", markup=False)

    @property
    def is_said(self) -> bool:
        """True while there is a problem in sight."""
        return self.has_class("-said")

    def complain(self, error: BaseException | None) -> None:
        """Say it; None takes it away."""
        self.update(f"{explain(error)}  Escape hides this." if error else "")
        self.set_class(error is not None, "-said")

    def on_click(self) -> None:
        """Answer a click."""
        self.complain(None)
