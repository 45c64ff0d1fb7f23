"""The way in: find the command, run it, turn what goes wrong into words and an exit code.

Exit codes: 0 done, 1 our fault or a diverged run, 2 a mistake in what was asked,
130 and 143 stopped by a signal after saving, 141 nobody reads stdout any more.
"""

from __future__ import annotations

import importlib
import os
import sys

from minitf_tui.cli.exit_codes import BROKEN_PIPE, FAULT, INTERRUPTED, MISTAKE, SUCCESS

TYPE_CHECKING = False  # every import here is part of how long `minitf --help` takes
if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.errors import MinitfError

COMMANDS = {
    "train": ("minitf_tui.cli.train", "train a model on a text"),
    "forecast": ("minitf_tui.cli.forecast", "tell what a run would take and learn"),
    "ctl": ("minitf_tui.cli.ctl", "control a run while it trains"),
    "duel": ("minitf_tui.cli.duel", "let two configs learn on the same batches"),
    "sweep": ("minitf_tui.cli.sweep", "train a grid or a sample of settings"),
    "eval": ("minitf_tui.cli.evaluate", "score a model on held-out text"),
    "generate": ("minitf_tui.cli.generate", "let a model write"),
    "bench": ("minitf_tui.cli.bench", "time its KV cache"),
    "tokenize": ("minitf_tui.cli.tokenize", "show a text as its tokens"),
    "plot": ("minitf_tui.cli.plot", "draw losses or latencies, here or into a file"),
    "runs": ("minitf_tui.cli.runs", "list, show or remove what was trained"),
    "quantize": ("minitf_tui.cli.quantize", "make a run with weights in 8 or 4 bits"),
    "export": ("minitf_tui.cli.exporting", "write a run for other programs"),
    "import": ("minitf_tui.cli.importing", "make a run of a model from elsewhere"),
    "replay": ("minitf_tui.cli.replay", "train a run or a capsule again, and compare"),
    "presets": ("minitf_tui.cli.presets", "list the presets, or print one as a file"),
    "doctor": ("minitf_tui.cli.doctor", "look at this machine, and time it"),
    "completion": ("minitf_tui.cli.completion", "let the Tab key finish words in your shell"),
    "app": ("minitf_tui.cli.app", "open the app, as minitf alone does in a terminal"),
}


def main(words: Sequence[str] | None = None) -> int:
    """Do what `words` ask (default: those of the process) and return the exit code."""
    try:
        return _dispatch(list(sys.argv[1:] if words is None else words))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return BROKEN_PIPE
    except Exception as error:
        return _explain(error)


def _dispatch(words: list[str]) -> int:
    if not words:
        from minitf_tui.cli import app

        return app.start()
    name = words[0]
    if name in ("--help", "-h", "help"):
        return _help(words[1:2] if name == "help" else [])
    if name == "--version":
        from core.version import VERSION

        print(f"minitf {VERSION}", flush=True)
        return SUCCESS
    if name == "--no-autostart":
        name, words = "app", ["app", *words]
    if name == "__complete":  # asked by the scripts of `minitf completion`
        from minitf_tui.cli import completing

        return completing.execute(words[1:])
    if name not in COMMANDS:
        raise _unknown(name)
    before_end = words[1 : words.index("--")] if "--" in words else words[1:]
    if "--help" in before_end or "-h" in before_end:
        return _help([name])
    from minitf_tui.cli.arguments import parse

    module = importlib.import_module(COMMANDS[name][0])
    return int(module.execute(parse(module.COMMAND, words[1:])))


def _help(names: Sequence[str]) -> int:
    from minitf_tui.cli import help as texts

    if not names:
        print(texts.overview({name: about for name, (_, about) in COMMANDS.items()}), flush=True)
        return SUCCESS
    if names[0] not in COMMANDS:
        raise _unknown(names[0])
    from minitf_tui.cli import output

    output.say(texts.page(importlib.import_module(COMMANDS[names[0]][0]).COMMAND))
    return SUCCESS


def _unknown(word: str) -> MinitfError:
    from minitf_tui.cli.arguments import UsageError, nearest
    from minitf_tui.problems import quoted

    is_flag = word.startswith("-")
    known = ("--help", "--version", "--no-autostart") if is_flag else tuple(COMMANDS)
    kind = "flag" if is_flag else "command"
    hint = nearest(word, known) or f"Commands: {', '.join(COMMANDS)}."
    return UsageError(f"minitf has no {kind} {quoted(word)}.", hint=hint)


def _explain(error: Exception) -> int:
    from minitf_tui.cli import output
    from minitf_tui.problems import explain, recognised

    output.tell(f"minitf: {explain(error)}")
    return FAULT if recognised(error) is None else MISTAKE


def _silence_stdout() -> None:
    """Python flushes stdout once more while it exits; let that go nowhere."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):
        return
