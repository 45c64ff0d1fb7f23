"""`minitf replay`: does a run come out the same when it is trained again?"""

from __future__ import annotations

from minitf_tui.cli import output
from minitf_tui.cli.arguments import JSON, METRICS, Arguments, Command, Flag
from minitf_tui.cli.exit_codes import FAULT, SUCCESS
from minitf_tui.cli.train_report import report_run

COMMAND = Command(
    name="replay",
    about="Train a run, or one in a capsule, again from its seed, and compare.",
    operands=("[RUN or FILE]",),
    flags=(
        Flag("name", str, "name of the new run; made up when left out", metavar="NAME"),
        JSON,
        METRICS,
    ),
    notes=(
        "The same steps are taken again, at the rates that were recorded, as a new run. The file "
        "of a capsule is restored first, as a run that is called after it.",
        "Ends with 0 if all steps agree bit for bit, with 1 if one does not: then it is told "
        "which, and which version, processor or number of threads is another one.",
    ),
)


def execute(arguments: Arguments) -> int:
    """Train again, say whether it came out the same, and return the exit code."""
    from core import recipes

    output.prepare_metrics(arguments.get("metrics"))
    session = recipes.replaying(arguments.run, name=arguments.get("name"))
    code, finished = report_run(session, arguments, "replay")
    agreement = finished.result.agreement if finished else None
    if code == SUCCESS and agreement is not None and not agreement.is_equal:
        return FAULT
    return code
