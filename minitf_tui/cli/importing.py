"""`minitf import`: a model from elsewhere becomes a run."""

from __future__ import annotations

from pathlib import Path

from core.config import TextConfig
from core.events import Import, ImportCompleted
from minitf_tui import format as fmt
from minitf_tui.cli import output, reports
from minitf_tui.cli.arguments import JSON, Arguments, Command, Flag, flags_of
from minitf_tui.cli.running import conclude
from minitf_tui.problems import escape
from minitf_tui.uses import uses_of_run

OWN = ("name", "tokenizer", "corpus", "max_seq_len")

COMMAND = Command(
    name="import",
    about="Make a run of a model from elsewhere, for every command and pane.",
    operands=("SOURCE",),
    flags=(
        Flag("name", str, "of the run; otherwise it is called after its source", metavar="NAME"),
        Flag("tokenizer", Path, "tokenizer.bin of a .bin; otherwise the one beside it is taken"),
        Flag(
            "corpus",
            str,
            "what it is scored on and trained on later, if nothing else is named:"
            f" {flags_of(TextConfig(), ('corpus',))[0].help}",
            default=TextConfig().corpus,
        ),
        Flag("max-seq-len", int, "positions to keep; 0 keeps all up to 8192", unit="tokens"),
        JSON,
    ),
    notes=(
        "SOURCE is a folder of transformers, a .gguf file, a .bin of llama2.c, a capsule,",
        "or hub:OWNER/NAME, which is fetched from the Hugging Face hub.",
        "Nothing in it is executed, and of what does not fit nothing is left behind.",
    ),
)


def execute(arguments: Arguments) -> int:
    """Import, report, and return the exit code."""
    from core import recipes

    session = recipes.importing(arguments.operands[0], **arguments.among(OWN))

    def tell(result: Import) -> None:
        if arguments.get("json"):
            output.say_json(result)
        else:
            output.say(report(result))

    return conclude(session, ImportCompleted, tell)


def report(result: Import) -> str:
    """What has come, where it is, and what can be done with it."""
    rows = [
        ("from", ", ".join(escape(part) for part in (result.format, result.architecture) if part)),
        ("model", f"{fmt.count(result.n_params)} parameters, context {fmt.whole(result.context)}"),
        ("tokens", f"{fmt.whole(result.vocab_size)} to choose from"),
        ("text", f"{reports.short(result.corpus)}, where no other is named"),
        ("size", fmt.size_bytes(result.bytes)),
        ("kept in", escape(result.path)),
    ]
    title = f"Imported {reports.short(result.source)} as {escape(result.run)}"
    parts = [reports.titled(title, rows), *reports.remarks(result.remarks)]
    parts.append(reports.titled("Next", uses_of_run(escape(result.run))))
    return "\n\n".join(parts)
