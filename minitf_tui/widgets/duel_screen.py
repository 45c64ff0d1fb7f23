"""The box of a duel over everything else, and its keys."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Key
from textual.screen import ModalScreen

from minitf_tui.widgets.confirm import Confirm
from minitf_tui.widgets.duel_box import DuelBox
from minitf_tui.widgets.key_line import KeyLine

QUESTION = (
    "Stop the duel?\n"
    "Both runs stay, with what was found so far. It cannot be gone on with as a pair."
)


class DuelScreen(ModalScreen[None]):
    """Left by Escape, after a question while the duel goes on."""

    CSS = """
    DuelScreen {
        align: center middle;
        & > DuelBox {
            width: 132; max-width: 100%; height: 1fr; padding: 0 1; overflow-y: auto;
            background: $surface; border: round $accent; border-title-color: $foreground;
        }
        &.-asking > DuelBox { width: 96; height: auto; max-height: 100%; }
        &.-asking #course { display: none; }
        & Form { display: none; }
        &.-asking Form { display: block; }
        & Row > *, & Row.-wide > * { margin: 0 7 0 13; }
        & Row.-wide > * { margin: 0 0 0 13; }
        & Row > Input { background: $background; }
        & Form > #help { margin-top: 1; }
        & #course { height: 1fr; }
        & #standing { height: auto; padding: 0 1; margin-bottom: 1; }
        & #difference { height: 3fr; }
        & #losses { height: 2fr; }
        & DuelBox > Progress { padding: 0; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "start", "start", key_display="Enter"),
        Binding("p", "pause", "pause"),
        Binding("p", "resume", "go on"),
        Binding("n", "ask", "another duel"),
        Binding("escape,s", "stop", "stop it", key_display="Esc"),
        Binding("escape", "leave", "close", key_display="Esc", priority=True),
        Binding("q", "leave", show=False),
    ]

    def __init__(self, box: DuelBox) -> None:
        super().__init__()
        self.box = box

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self.box
        yield KeyLine()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether a key does something now; see `App.check_action`."""
        box = self.box
        match action:
            case "start":
                return self.has_class("-asking") and not box.is_active
            case "pause":
                return box.is_working and not box.is_paused
            case "resume":
                return box.is_working and box.is_paused
            case "ask":
                return not self.has_class("-asking") and not box.is_active
            case "stop" | "leave":
                return box.is_working == (action == "stop")
        return True

    def on_key(self, event: Key) -> None:
        """Letters that were typed before there was a field to take them."""
        if event.is_printable and self.has_class("-asking"):
            self.box.form.take(event)

    def action_start(self) -> None:
        """Begin with what stands in the form."""
        self.box.start()

    def action_pause(self) -> None:
        """Hold both after the step they are taking."""
        self.box.do_pause()

    def action_resume(self) -> None:
        """Go on with both."""
        self.box.do_pause()

    def action_ask(self) -> None:
        """Back to the form, for another duel."""
        self.box.ask()

    def action_stop(self) -> None:
        """End it, once somebody has said yes."""

        def answered(is_sure: bool | None) -> None:
            if is_sure:
                self.box.do_stop()

        self.app.push_screen(Confirm(QUESTION, yes="stop it", no="go on"), answered)

    def action_leave(self) -> None:
        """Back to the pane."""
        self.call_later(self._leave)  # behind its being mounted, which cannot be broken off

    def _leave(self) -> None:
        if self.is_current:
            self.dismiss()
