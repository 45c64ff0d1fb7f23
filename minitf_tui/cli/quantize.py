"""`minitf quantize`: a run of its own with weights in 8 or 4 bits, and what that costs."""

from __future__ import annotations

from core.config import QuantizeConfig
from core.events import Quality, Quantization, QuantizationCompleted
from minitf_tui import format as fmt
from minitf_tui.cli import output, reports
from minitf_tui.cli.arguments import JSON, Arguments, Command, Flag, field_names, flags_of
from minitf_tui.cli.running import conclude
from minitf_tui.problems import escape

COMMAND = Command(
    name="quantize",
    about="Make a run of a run, its weights in 8 or 4 bits, for every command and pane.",
    flags=(
        *flags_of(QuantizeConfig()),
        Flag("name", str, "of the new run; otherwise RUN-int8 or RUN-int4", metavar="NAME"),
        JSON,
    ),
    notes=(
        "The report compares both token by token on held-out text, and times both in turn.",
        "A matrix whose width does not divide into groups gets smaller ones, or 8 bits.",
        "A quantised run cannot be trained on; train --init-from begins from its weights.",
    ),
)


def execute(arguments: Arguments) -> int:
    """Quantise, report, and return the exit code."""
    from core import recipes

    config = QuantizeConfig(**arguments.among(field_names(QuantizeConfig())))
    session = recipes.quantizing(arguments.run, config, **arguments.among(["name"]))

    def tell(result: Quantization) -> None:
        if arguments.get("json"):
            output.say_json(result)
        else:
            output.say(report(result))

    return conclude(session, QuantizationCompleted, tell)


def report(result: Quantization) -> str:
    """What became smaller, what it costs in quality, and what it gives in speed."""
    saved = result.bytes_before / result.bytes_after
    sizes = tuple(map(fmt.size_bytes, (result.bytes_before, result.bytes_after)))
    speed = result.speed
    rate = fmt.times(speed.after_tokens_per_s / speed.before_tokens_per_s)
    rows = [
        ("rounded", f"{result.matrices} matrices {_layout(result)}"),
        ("weights", f"{sizes[0]} before, {sizes[1]} after: {fmt.times(saved)} smaller"),
        *_quality(result.quality),
        ("speed before", f"{fmt.rate(speed.before_tokens_per_s)} ({speed.before_engine} engine)"),
        (
            "speed after",
            f"{fmt.rate(speed.after_tokens_per_s)} ({speed.after_engine} engine): {rate}",
        ),
        ("scored", f"{fmt.whole(result.quality.tokens)} tokens, {result.text}; ± to 95 %"),
        ("kept in", escape(result.path)),
    ]
    source = f"{escape(result.from_run)} at step {result.from_step}"
    title = f"Quantised {source} as {escape(result.run)}"
    return "\n\n".join([reports.titled(title, rows), *reports.remarks(result.remarks)])


def _layout(result: Quantization) -> str:
    group = f"groups of {result.group_size}" if result.group_size else "one scale a row"
    zero = "" if result.symmetric else ", with zeros"
    return f"in {result.bits} bits, {group}{zero}, by {result.method}; head {result.head_bits}"


def _quality(found: Quality) -> list[reports.Row]:
    shares = [f"{_percent(p)} {value:.1e}" for p, value in found.kld_percentiles]
    return [
        ("perplexity before", _plus_minus(found.perplexity_before, found.perplexity_before_ci95)),
        ("perplexity after", _plus_minus(found.perplexity_after, found.perplexity_after_ci95)),
        ("ln of their ratio", _signed(found.ln_ratio, found.ln_ratio_ci95)),
        ("mean KLD", f"{found.kld:.2e} ± {_half(found.kld_ci95):.1e} nats"),
        ("KLD", f"{', '.join(shares)}, largest {found.kld_max:.1e}"),
        ("RMS Δp", f"{_points(found.rms_dp)} ± {_points(_half(found.rms_dp_ci95))} %"),
        (
            "same first choice",
            f"{_points(found.same_top1)} ± {_points(_half(found.same_top1_ci95))} %",
        ),
    ]


def _half(interval: tuple[float, float]) -> float:
    """Half the width of an interval, which is what stands after ±."""
    return (interval[1] - interval[0]) / 2


def _plus_minus(value: float, interval: tuple[float, float]) -> str:
    return fmt.mean_sd(value, _half(interval))


def _signed(value: float, interval: tuple[float, float]) -> str:
    return f"{value:+.5f} ± {_half(interval):.5f}"


def _points(share: float) -> str:
    return f"{100 * share:.2f}"


def _percent(percent: float) -> str:
    return "median" if percent == 50 else f"{percent:g} %"
