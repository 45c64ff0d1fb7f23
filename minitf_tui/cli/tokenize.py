"""`minitf tokenize`: a text as its tokens, in colours, counted."""

from __future__ import annotations

import sys

from core.config import TextConfig
from core.events import Tokenization, TokenizationCompleted
from minitf_tui import format as fmt
from minitf_tui.cli import output, reports
from minitf_tui.cli.arguments import JSON, Arguments, Command, Flag, UsageError, flags_of
from minitf_tui.cli.running import conclude
from minitf_tui.cli.screen import look
from minitf_tui.cli.spans import Painter
from minitf_tui.problems import escape, shortened

NEW = ("corpus", "tokenizer", "vocab_size", "generated_chars", "generated_seed")
"""Settings of a tokenizer that is made for this."""
SHOWN = 400

COMMAND = Command(
    name="tokenize",
    about="Show a text as its tokens, by the tokenizer of a run or by a new one.",
    flags=(
        Flag("prompt", str, "text to cut into tokens"),
        Flag("text", str, "or a file, folder, pattern, - for stdin: all that --corpus takes"),
        Flag("show", int, "tokens that are shown; all are counted; 0 is all", default=SHOWN),
        Flag("ids", bool, "show the id of each token under it"),
        JSON,
        *flags_of(TextConfig(), NEW),
    ),
    notes=(
        "With --corpus, --tokenizer or --vocab-size a tokenizer is made, as for a new run.",
        "Without --prompt and --text the corpus of the tokenizer itself is shown.",
    ),
)


def execute(arguments: Arguments) -> int:
    """Cut, show, and return the exit code."""
    from core import recipes

    _check(arguments)
    new = arguments.among(NEW)
    session = recipes.tokenizing(
        TextConfig(**new) if new else arguments.run,
        **arguments.among(("prompt", "text")),
        n_shown=arguments.get("show", SHOWN),
    )

    def tell(result: Tokenization) -> None:
        if arguments.get("json"):
            output.say_json(result)
            return
        painter = Painter(look(sys.stdout))
        output.say(report(result, painter, with_ids=bool(arguments.get("ids"))))

    return conclude(session, TokenizationCompleted, tell)


def report(result: Tokenization, painter: Painter, *, with_ids: bool) -> str:
    """The tokens, and what they add up to."""
    spans = painter.with_ids(result.shown) if with_ids else painter.running(result.shown)
    left = result.tokens - len(result.shown)
    rest = f"\n... and {fmt.whole(left)} more; --show 0 shows all" if left else ""
    return f"{spans}{rest}\n\n{_figures(result)}"


def _figures(result: Tokenization) -> str:
    of = "" if result.tokenizer == "byte" else f" of {shortened(escape(result.of), 40)}"
    per_token = result.characters / result.tokens if result.tokens else 0.0
    rows = [
        (
            "tokenizer",
            f"{escape(result.tokenizer)}{of}, {fmt.whole(result.vocab_size)} tokens to choose from",
        ),
        ("characters", fmt.whole(result.characters)),
        ("bytes", fmt.whole(result.bytes)),
        ("tokens", f"{fmt.whole(result.tokens)}, {fmt.whole(result.distinct_tokens)} distinct"),
        ("per token", f"{result.bytes_per_token:.2f} bytes, {per_token:.2f} characters"),
    ]
    return reports.titled(f"Tokens of {shortened(escape(result.text), 60)}", rows)


def _check(arguments: Arguments) -> None:
    if arguments.get("prompt") and arguments.get("text"):
        raise UsageError("--prompt and --text are two texts.", hint="Leave one of them out.")
    new = list(arguments.among(NEW))
    if new and arguments.operands:
        flag = new[0].replace("_", "-")
        raise UsageError(
            f"--{flag} makes a new tokenizer, and a run has its own.",
            hint=f"Leave out --{flag}, or the run.",
        )
    shown = arguments.get("show", SHOWN)
    if shown < 0:
        raise UsageError(f"--show={shown} is below 0.", hint=f"The default is {SHOWN}; 0 is all.")
