"""Results as a person reads them: short, aligned, with units. Numbers in, text out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.events import (
    Agreement,
    Baseline,
    Evaluation,
    EvaluationCompleted,
    Generation,
    GenerationBatch,
    SampleCompleted,
    TrainResult,
)
from minitf_tui import format as fmt
from minitf_tui.problems import escape, quoted, shortened
from minitf_tui.sanitize import clean, clean_line
from minitf_tui.standing import standing

Row = tuple[str, str]


def training(result: TrainResult, baselines: Sequence[Baseline] = ()) -> str:
    """How far a run came, how well it does, what it cost and where it is."""
    speed = result.tokens / result.train_s if result.train_s > 0 else None
    spent = (
        ("train", result.train_s),
        ("validate", result.eval_s),
        ("sample", result.sample_s),
        ("save", result.save_s),
        ("set up", result.setup_s),
    )
    scores = [
        ("validation loss", f"{fmt.loss(result.val_loss)} nats per token"),
        ("perplexity", fmt.perplexity(result.val_perplexity)),
        ("bits per byte", fmt.loss(result.bits_per_byte)),
        *_floor(result.val_loss, result.floor_loss),
        *_standing(result.val_loss, baselines),
        *_solved(result.accuracy),
    ]
    rows = [
        *(scores if result.val_loss is not None else [("validation", "none yet")]),
        ("speed", fmt.rate(speed)),
        ("trained", f"{fmt.plural(result.steps, 'step')}, {fmt.count(result.tokens)} tokens"),
        ("model", f"{fmt.count(result.params)} parameters, context {result.context}"),
        ("time", ", ".join(f"{what} {fmt.seconds(s)}" for what, s in spent)),
        ("kept in", escape(result.path)),
    ]
    return titled(f"Run {escape(result.run)}", rows)


def agreement(found: Agreement) -> str:
    """Whether a replay went as the run did, in words."""
    if found.first_difference is None:
        return _whole_agreement(found)
    where = found.first_difference
    figure = where.figure
    here, there = (fmt.exact(value) for value in (where.now, where.before))
    if where.step == 1:
        start = "Step 1 differs already"
    else:
        before = "Step 1 agrees" if where.step == 2 else f"Steps 1 to {where.step - 1:,} agree"
        start = f"{before}; step {where.step:,} differs"
    return f"{start}: {figure} {here} here, {there} there. {_circumstances(found)}"


def _whole_agreement(found: Agreement) -> str:
    if not found.steps:
        return "No step was taken that could be compared."
    if found.steps < found.of:
        return f"The first {found.steps:,} of {fmt.plural(found.of, 'step')} agree bit for bit."
    if found.of == 1:
        return "The one step agrees bit for bit."
    return f"All {found.of:,} steps agree bit for bit."


def _circumstances(found: Agreement) -> str:
    if not found.circumstances:
        return "Versions, processor and threads are the same here."
    changes = (
        f"{escape(c.name)} {escape(c.now)} instead of {escape(c.before)}"
        for c in found.circumstances
    )
    return f"Different here: {', '.join(changes)}."


def sample(event: SampleCompleted) -> str:
    """What the model writes, made safe for a terminal."""
    text = clean(event.prompt + event.text).strip("\n")
    lines = "\n".join(f"  | {line}".rstrip() for line in text.split("\n"))
    told = f" {clean_line(event.verdict)}" if event.verdict else ""
    return f"Sample after step {event.step}:{told}\n{lines}"


def next_commands(run: str) -> str:
    """What to type after a training run."""
    rows = [
        (f"minitf generate {run}", "let it write"),
        (f"minitf eval {run}", "score it"),
        (f"minitf bench {run}", "time its KV cache"),
    ]
    return titled("Next", rows)


def evaluation(event: EvaluationCompleted) -> str:
    """The score of a text, with the protocol beside it."""
    result = event.result
    low, high = result.loss_ci95
    rows = [
        ("loss", f"{fmt.loss(result.loss)} nats per token"),
        ("95 % interval", f"{fmt.loss(low)} to {fmt.loss(high)}"),
        ("perplexity", fmt.perplexity(result.perplexity)),
        ("bits per byte", fmt.loss(result.bits_per_byte)),
        *_floor(result.loss, result.floor_loss),
        *_standing(result.loss, result.baselines),
        *_solved(result.accuracy, result.problems),
        ("first choice", fmt.percent(result.top1)),
        ("in best five", fmt.percent(result.top5)),
        ("scored", f"{fmt.whole(result.tokens)} tokens, {fmt.whole(result.bytes)} bytes"),
        *_cache(result),
        ("protocol", f"stride {result.stride}, context {result.context}"),
    ]
    return titled(f"{escape(event.run)} at step {event.step}, {escape(event.text)}", rows)


def _cache(result: Evaluation) -> list[Row]:
    """The KV cache, if there was one, and what it costs."""
    if result.cache_cost is None or result.cache_cost_ci95 is None:
        return []
    half = (result.cache_cost_ci95[1] - result.cache_cost_ci95[0]) / 2
    cost = f"{result.cache_cost:+.5f} ± {half:.5f} nats per token against none"
    return [("cache", f"{result.cache}: {cost}")]


def _floor(loss: float | None, floor: float | None) -> list[Row]:
    """The least loss there is, if that is known, and how far the model is from it."""
    if floor is None:
        return []
    return [("floor", f"{fmt.loss(floor)} nats per token: loss {fmt.difference(loss, floor)}")]


def _standing(loss: float | None, baselines: Sequence[Baseline]) -> list[Row]:
    """Which baselines the model has passed, and which comes next."""
    where = standing(loss, baselines)
    return [("baselines", where)] if where else []


def _solved(accuracy: float | None, problems: int = 0) -> list[Row]:
    """The share of a task's held-out problems that the model solves."""
    of = f" of {fmt.plural(problems, 'problem')}" if problems else ""
    return [] if accuracy is None else [("solved", f"{fmt.percent(accuracy)}{of}")]


def generation(result: Generation | GenerationBatch) -> str:
    """One line about how a text, or several, were written."""
    first = f"first one after {fmt.milliseconds(result.ttft_ms)}"
    then = f"then {fmt.rate(result.tokens_per_s)}"
    if isinstance(result, Generation):
        end = f"; ended by {quoted(result.stop_string)}" if result.stop_string else ""
        written = fmt.plural(len(result.tokens), "token")
        return f"{written} after {result.prompt_tokens} of prompt: {first}, {then}{end}"
    n = sum(len(one.tokens) for one in result.continuations)
    written = f"{fmt.plural(n, 'token')} in {len(result.continuations)} continuations"
    return f"{written} after {result.prompt_tokens} of prompt: {first}, {then} together"


def remarks(sentences: Iterable[str]) -> list[str]:
    """What is not as one would think, under a heading; nothing where there is nothing."""
    from textwrap import wrap

    lines = [line for said in sentences for line in wrap(shortened(escape(said), 600), 76)]
    return ["\n  ".join(("Note", *lines))] if lines else []


def short(name: str) -> str:
    """A name that somebody typed or a file bears, for a title."""
    return shortened(escape(name), 60)


def titled(title: str, rows: Iterable[Row]) -> str:
    """A title over aligned pairs."""
    return f"{title}\n{pairs(rows)}"


def pairs(rows: Iterable[Row]) -> str:
    """Two columns, indented."""
    rows = list(rows)
    width = max((len(left) for left, _ in rows), default=0)
    return "\n".join(f"  {left.ljust(width)}  {right}" for left, right in rows)


def columns(rows: Sequence[Sequence[str]], *, left: int) -> str:
    """A table: the first `left` columns to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
