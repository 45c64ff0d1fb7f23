"""An export or an import in a box of its own: it asks, works, and shows what came of it.

What was typed stays over an error, and is there again when somebody leaves to free the device
and comes back: `drafts` keeps it until the work is done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import DescendantFocus, Key
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from core.events import Event, Export, Import, SetupProgressed
from minitf_tui.job import Device
from minitf_tui.sanitize import clean_line
from minitf_tui.widgets.form import Form, Item, Row
from minitf_tui.widgets.key_line import KeyLine
from minitf_tui.widgets.pane import Pane, Recipes
from minitf_tui.widgets.readout import Progress

if TYPE_CHECKING:
    from core.recipes import Session

TICK_S = 0.1
R = TypeVar("R", Export, Import)
Drafts = dict[str, dict[str, str]]
"""What was typed and not done, by the title of its box."""


def bare(text: str) -> str:
    """A path as it was meant: a terminal puts quotes round a file that is dropped on it."""
    text = text.strip()
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if is_quoted else text


class Transfer(Pane, Generic[R]):
    """The box, whatever goes through it."""

    KEYS = ()
    LEFT_BEHIND: ClassVar[str]
    """What is said of one that was stopped."""

    def __init__(
        self,
        device: Device,
        recipes: Callable[[], Recipes],
        *,
        title: str,
        items: Sequence[Item],
        drafts: Drafts,
    ) -> None:
        super().__init__(device, recipes)
        self.title = title
        self.result: R | None = None
        self.form = Form(items)
        self._drafts = drafts
        self._share: float | None = None
        self._field: Widget | None = None
        """Where somebody was typing."""
        self._bar = Progress()
        self._outcome = Static("", id="outcome", markup=False)

    # What an export and an import add.

    def make(self) -> Session:
        """The job that the form asks for.

        Raises:
            MinitfError: it cannot be asked for like that.
        """
        raise NotImplementedError

    def result_of(self, event: Event) -> R | None:
        """What has come of it, if the event tells."""
        raise NotImplementedError

    def lines(self, result: R) -> Content:
        """What is shown of it."""
        raise NotImplementedError

    # What they share.

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self.problem
        yield self.form
        yield self._bar
        yield self._outcome

    def on_mount(self) -> None:
        """What can be done only once it is on the screen."""
        self.border_title = Content(clean_line(self.title))
        self._outcome.display = False
        self.form.fill(self._drafts.get(self.title, {}))
        self._ask()
        self.set_interval(TICK_S, self._look)

    @on(Form.Submitted)
    def start(self) -> None:
        """Begin with what stands in the form."""
        if not self.is_active and self.launch(self.make):
            self._share = None
            self.form.disabled = True
            self.screen.remove_class("-asking")
            self.form.summarise("")
            self.tick()
        elif not self.is_active:
            self._ask()

    @on(Form.Changed)
    def _take_back(self) -> None:
        """What was wrong was wrong with what stood there before."""
        if not self.is_active:
            self.complain(None)

    @property
    def is_working(self) -> bool:
        """True until it is done or somebody has stopped it."""
        return self.is_active and self.state != "stopping"

    def do_stop(self) -> None:
        """See `Pane.do_stop`."""
        super().do_stop()
        self.tick()

    def keep_draft(self) -> None:
        """Before it is closed: what was typed is there the next time, unless it was done."""
        if self.result is None:
            self._drafts[self.title] = self.form.texts()

    @property
    def share(self) -> float | None:
        """See `Pane.share`."""
        return self._share

    def way_out(self) -> str:
        """See `Pane.way_out`."""
        return f"Stop it with Escape in the box {self.title!r}."

    def hear(self, event: Event) -> None:
        """See `Pane.hear`."""
        if isinstance(event, SetupProgressed):
            self._share = event.share
        elif (result := self.result_of(event)) is not None:
            self.result = result
        self.tick()

    def tick(self) -> None:
        """See `Pane.tick`."""
        if self.job is None:
            return
        words = {"waiting": "waiting for the device", "stopping": "stopping"}
        line = words.get(self.state, clean_line(self.stage))
        if not self.is_active:
            line = self.LEFT_BEHIND if self.result is None and self.error is None else ""
        self._bar.show(line, self._share if self.is_active else None, self.waited)
        self._bar.display = bool(line)

    def over(self) -> None:
        """See `Pane.over`."""
        super().over()
        if self.result is None:
            self._ask()
            return
        self._drafts.pop(self.title, None)
        self.form.display = self._bar.display = False
        self._outcome.update(self.lines(self.result))
        self._outcome.display = True
        self.app.refresh_bindings()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Remember where somebody types."""
        self._field = event.widget

    def _ask(self) -> None:
        self.form.disabled = False
        self.screen.add_class("-asking")
        self.form.summarise("Enter starts   Esc leaves")
        # At once: `focus` would come behind the next key.
        self.screen.set_focus(self._field or self.form.query(Row).first().field)

    def _look(self) -> None:
        self.look_at_device()
        self.tick()


class TransferScreen(ModalScreen[str]):
    """A box over everything else. Left with the name of a run that is to be used, or without."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "copy the path"),
        Binding("o", "use", "use it in all panes"),
        Binding("enter", "start", "start", key_display="Enter"),
        Binding("enter", "leave", show=False),
        Binding("q", "leave", show=False),
        Binding("j,down", "scroll('down')", show=False),
        Binding("k,up", "scroll('up')", show=False),
        Binding("space,pagedown", "scroll('page_down')", show=False),
        Binding("pageup", "scroll('page_up')", show=False),
        Binding("escape", "stop", "stop it", key_display="Esc", priority=True),
        Binding("escape", "leave", "close", key_display="Esc", priority=True),
    ]

    def __init__(self, box: Transfer[Export] | Transfer[Import]) -> None:
        super().__init__()
        self.box = box

    def compose(self) -> ComposeResult:
        """Its parts, from top to bottom."""
        yield self.box
        yield KeyLine()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether a key does something now; see `App.check_action`."""
        if action == "copy":
            return self.box.result is not None
        if action == "start":
            return self.box.result is None and not self.box.is_active
        if action == "use":
            return isinstance(self.box.result, Import)
        if action in ("stop", "leave"):
            return self.box.is_working == (action == "stop")
        return True

    def on_key(self, event: Key) -> None:
        """Letters that were typed before there was a field to take them."""
        if event.is_printable:
            self.box.form.take(event)

    def action_copy(self) -> None:
        """The path, by the terminal's own clipboard."""
        if self.box.result is not None:
            path = self.box.result.path.encode(errors="replace").decode()
            self.app.copy_to_clipboard(path)
            self.notify("The path is copied, if this terminal lets programs copy.", markup=False)

    def action_use(self) -> None:
        """Leave, and have all panes work with what has come."""
        if isinstance(self.box.result, Import):
            self.dismiss(self.box.result.run)

    def action_start(self) -> None:
        """Begin with what stands in the form."""
        self.box.start()

    def action_scroll(self, where: str) -> None:
        """To another part of what has come of it, where that is long."""
        getattr(self.box, f"scroll_{where}")(animate=False)

    def action_stop(self) -> None:
        """End what is under way."""
        self.box.do_stop()

    def action_leave(self) -> None:
        """Back to the pane."""
        self.call_later(self._leave)  # behind its being mounted, which cannot be broken off

    def _leave(self) -> None:
        if self.is_current:
            self.box.keep_draft()
            self.dismiss("")
