"""`minitf export`: a run for transformers, for llama.cpp and Ollama, or for another minitf."""

from __future__ import annotations

from pathlib import Path

from core.events import Export, ExportCompleted
from core.transfers import FORMATS, NUMBER_TYPES
from minitf_tui import format as fmt
from minitf_tui.cli import output, reports
from minitf_tui.cli.arguments import JSON, Arguments, Command, Flag
from minitf_tui.cli.running import conclude
from minitf_tui.problems import escape
from minitf_tui.uses import PROGRAMS, uses_of

COMMAND = Command(
    name="export",
    about="Write a run for other programs, or as one file to train it again from.",
    flags=(
        Flag("format", str, "what to write; otherwise as --out is called", choices=FORMATS),
        Flag(
            "type",
            str,
            "numbers that a gguf holds",
            choices=NUMBER_TYPES,
            default=NUMBER_TYPES[0],
        ),
        Flag("out", Path, "where to; otherwise here, called after the run", metavar="PATH"),
        Flag("overwrite", bool, "replace what is there"),
        JSON,
    ),
    notes=(
        "  hf       a folder for transformers; also when nothing is said",
        "  gguf     a file for llama.cpp and Ollama; also when --out ends in .gguf",
        "  capsule  all of a run in one file; also when --out ends in .tar.gz",
        "It is there whole or not at all, also after Ctrl-C.",
    ),
)


def execute(arguments: Arguments) -> int:
    """Export, report, and return the exit code."""
    from core import recipes

    names = {"format": "format", "type": "number_type", "out": "out", "overwrite": "overwrite"}
    given = {names[key]: value for key, value in arguments.among(names).items()}
    session = recipes.exporting(arguments.run, **given)

    def tell(result: Export) -> None:
        if arguments.get("json"):
            output.say_json(result)
        else:
            output.say(report(result))

    return conclude(session, ExportCompleted, tell)


def report(result: Export) -> str:
    """What was written, where, and how to use it."""
    rows = [("for", PROGRAMS[result.format])]
    if result.architecture:
        rows.append(("as", escape(result.architecture)))
    if result.format != "capsule":
        rows.append(("numbers", result.number_type))
    rows += [("size", fmt.size_bytes(result.bytes)), ("kept in", escape(result.path))]
    parts = [reports.titled(f"Exported {escape(result.run)} at step {result.step}", rows)]
    parts += reports.remarks(result.remarks)
    parts += [
        "\n".join((use.title, *(f"  {line}" for line in use.lines)))
        for use in uses_of(result, is_near=True)
    ]
    return "\n\n".join(parts)
