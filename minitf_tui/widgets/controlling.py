"""A pane whose run can be controlled while it trains: by keys, or by the words of `minitf ctl`."""

from __future__ import annotations

from textual.binding import Binding

from core.config import Command, read_command
from core.events import RunStarted
from minitf_tui.widgets.planning import PlanningPane
from minitf_tui.widgets.words_box import WordsBox

CONTROLS = (
    Binding("p", "pause", "pause", tooltip="pause and save, or go on; the device is free"),
    Binding("n", "step", "step", tooltip="take one step and pause again"),
    Binding("w", "save", "save", tooltip="save a checkpoint now"),
    Binding("s", "stop", "stop", tooltip="save and stop"),
    Binding("l", "command", "control", tooltip="control the run in words: lr 0.3, budget +500"),
    Binding(
        "less_than_sign",
        "halve",
        show=False,
        tooltip="half the learning rate from here; > is twice",
    ),
    Binding("greater_than_sign", "double", show=False),
    Binding("plus", "extend", show=False, tooltip="a quarter more of the budget; - is less"),
    Binding("minus", "cut", show=False),
    Binding("x", "sample", "sample", show=False, tooltip="let the model write a sample now"),
)
QUARTER = 0.25
LIVE = ("save", "command", "halve", "double", "extend", "cut", "sample")
"""Actions for which a run must have begun."""
HELP = (
    "lr 0.3                rate × 0.3 from the next step on\n"
    "budget +500 steps     longer; -500 shorter, =2000 sets the end\n"
    "                      in steps, seconds or tokens; without a unit\n"
    "                      steps, or seconds if nothing else limits\n"
    "sample   save   pause   resume   step   stop\n\n"
    "Enter does it, Esc leaves. The same as minitf ctl RUN …"
)


class ControllingPane(PlanningPane):
    """The keys by which a run is controlled."""

    def can_control(self, action: str, *, has_begun: bool) -> bool | None:
        """Whether a key of `CONTROLS` does something now; None for any other."""
        match action:
            case "step":
                return self.is_training and self.state == "paused"
            case "pause":
                return self.is_training and self.state != "stopping"
        if action in LIVE:
            return self.is_training and has_begun and self.state != "stopping"
        return None

    @property
    def limits(self) -> RunStarted | None:
        """The budget that holds now, in what the run told of its start."""
        raise NotImplementedError

    def saving(self) -> None:
        """A checkpoint was asked for."""

    def look_again(self) -> None:
        """Show at once what changed."""

    def do_pause(self) -> None:
        """Leave the device after this step, or take it again."""
        if self.job is None:
            return
        if self.state in ("paused", "pausing"):
            self.job.resume()
        else:
            self.job.pause()
            self.job.save()  # the other panes work with the model as it is now
        self.look_again()

    def do_step(self) -> None:
        """Take one step, and pause again."""
        if self.job:
            self.job.step()

    def do_save(self) -> None:
        """Keep a checkpoint before another step is taken."""
        if self.job:
            self.saving()
            self.job.save()
            self.look_again()

    def do_halve(self) -> None:
        """Half the learning rate."""
        self.control(Command(action="lr", value=0.5))

    def do_double(self) -> None:
        """Twice the learning rate."""
        self.control(Command(action="lr", value=2.0))

    def do_extend(self) -> None:
        """A longer run."""
        self.move_budget("+")

    def do_cut(self) -> None:
        """A shorter run."""
        self.move_budget("-")

    def do_sample(self) -> None:
        """A sample of what the model writes as it is now."""
        self.control(Command(action="sample"))

    def do_command(self) -> None:
        """Ask for words."""

        def use(words: str) -> None:
            self.control(read_command(words.split()))

        self.app.push_screen(WordsBox("control this run", "", HELP, use))

    def control(self, command: Command) -> None:
        """Have the run obey before its next step."""
        if self.job:
            self.job.control(command)

    def move_budget(self, sign: str, share: float = QUARTER) -> None:
        """Extend or cut the run by a share of its budget."""
        limits = self.limits
        if limits is None:
            return
        unit, whole = ("steps", limits.steps) if limits.steps else ("seconds", limits.seconds)
        value = max(1.0, round(share * whole))
        self.control(Command(action="budget", value=value, sign=sign, unit=unit))
