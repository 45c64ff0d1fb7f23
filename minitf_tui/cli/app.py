"""`minitf app`, and `minitf` alone: the app, or the quick-start where there is no terminal."""

from __future__ import annotations

import os
import sys

from minitf_tui.cli import output
from minitf_tui.cli.arguments import Arguments, Command, Flag, UsageError

COMMAND = Command(
    name="app",
    about="Open the app: train, evaluate, benchmark and generate on one screen.",
    operands=(),
    flags=(Flag("no-autostart", bool, "let the app wait, also on its very first start"),),
)


def execute(arguments: Arguments) -> int:
    """Run the app until somebody leaves it."""
    if os.environ.get("TERM") == "dumb" and not os.environ.get("TEXTUAL_DRIVER"):
        raise UsageError(
            "This terminal (TERM=dumb) cannot show the app; without it there are minitf train, "
            "minitf generate, minitf eval and minitf bench."
        )
    from minitf_tui.app import run_app

    return run_app(autostart=False if arguments.get("no_autostart") else None)


def start() -> int:
    """What `minitf` does when nothing else is typed."""
    if output.is_terminal(sys.stderr) or os.environ.get("TEXTUAL_DRIVER"):
        return execute(Arguments())
    from minitf_tui.cli import train

    return train.execute(Arguments())
