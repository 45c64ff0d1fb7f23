"""`minitf ctl`: control a run that is under way, wherever it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.config.control import ABOUT
from minitf_tui import format as fmt
from minitf_tui.cli import output
from minitf_tui.cli.arguments import JSON, Arguments, Command, UsageError, nearest
from minitf_tui.cli.exit_codes import SUCCESS
from minitf_tui.problems import escape, quoted

if TYPE_CHECKING:
    from core.controlling import Answer
    from core.store.underway import RunStatus

STATUS = "status"
COMMANDS = {STATUS: "say how it stands, on one line", **ABOUT}

COMMAND = Command(
    name="ctl",
    about="Control a run while it trains: here, in the app, or in another terminal.",
    operands=("RUN", "COMMAND", "[VALUE]", "[UNIT]"),
    flags=(JSON,),
    notes=(
        *(f"{name:<7}  {about}" for name, about in COMMANDS.items()),
        "As in: minitf ctl last lr 0.5, or minitf ctl last budget +500 steps; the units are steps, "
        "seconds and tokens; without one steps, or seconds where nothing else limits the run. "
        "Added where the run has no limit of that unit, an AMOUNT counts from here, and is its "
        "only limit then. What was done stands in metrics.jsonl, and a replay repeats it.",
        "A run is forked, under way or not, by minitf train --fork RUN@STEP.",
    ),
)


def execute(arguments: Arguments) -> int:
    """Ask, and say what became of it."""
    from core import controlling

    run, *words = arguments.operands
    if words[0] == "fork":
        raise UsageError(
            "A fork is a new run.", hint=f"Start it with: minitf train --fork {quoted(run)}"
        )
    if words[0] not in COMMANDS:
        hint = nearest(words[0], COMMANDS) or f"There are {', '.join(COMMANDS)}."
        raise UsageError(f"minitf ctl cannot {quoted(words[0])}.", hint=hint)
    if words == [STATUS]:
        found = controlling.status(run)
        output.say_json(found) if arguments.get("json") else output.say(status_line(found))
        return SUCCESS
    answer = controlling.control(run, *words)
    output.say_json(answer) if arguments.get("json") else output.say(answer_line(answer))
    return SUCCESS


def status_line(status: RunStatus) -> str:
    """`first: running, step 1,204 of 2,000, loss 1.871, ...`."""
    limit = f" of {fmt.whole(status.steps)}" if status.steps else ""
    parts = [status.state, f"step {fmt.whole(status.step)}{limit}", f"loss {fmt.loss(status.loss)}"]
    if status.val_loss is not None:
        parts.append(f"val {fmt.loss(status.val_loss)}")
    if status.lr is not None:
        factor = f" (schedule x {status.lr_factor:g})" if status.lr_factor != 1 else ""
        parts.append(f"lr {status.lr:.2e}{factor}")
    if status.tokens_per_s is not None:
        parts.append(f"{fmt.count(status.tokens_per_s)} tok/s")
    if status.is_trained and status.left_s is not None:
        parts.append(f"{fmt.seconds(status.left_s)} left")
    return f"{escape(status.run)}: {', '.join(parts)}"


def answer_line(answer: Answer) -> str:
    """What the run did, and from where."""
    name = escape(answer.run)
    if answer.step is None:
        return f"{name} was asked: {answer.words}. It has not come to it yet."
    words = escape(answer.words)
    after = f"{name}, after step {fmt.whole(answer.step)}: {words}"
    if answer.words.startswith("lr"):
        return f"{after}; the schedule is multiplied by {answer.lr_factor:g} now"
    if answer.words.startswith("budget"):
        limits = [fmt.plural(answer.steps, "step")] if answer.steps else []
        limits += [f"{fmt.seconds(answer.seconds)} of training"] if answer.seconds else []
        return f"{after}; it ends after {' or '.join(limits)} now"
    return after
