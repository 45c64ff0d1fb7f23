"""`minitf runs`: list what was trained, show one run, remove one."""

from __future__ import annotations

import dataclasses
from pathlib import PurePath
from typing import TYPE_CHECKING

from core.config import write_toml
from minitf_tui import format as fmt
from minitf_tui.cli import output, reports
from minitf_tui.cli.arguments import JSON, Arguments, Command, Flag, UsageError, nearest
from minitf_tui.cli.running import SUCCESS
from minitf_tui.problems import escape, quoted, shortened
from minitf_tui.standing import standing
from minitf_tui.vitals import Vitals, summary

if TYPE_CHECKING:
    from core.store.run import Run
    from core.store.summary import RunSummary

ACTIONS = ("list", "show", "rm")
LONGEST = 200
"""Characters of a fact that are shown."""
MAX_THREADS = 1024

COMMAND = Command(
    name="runs",
    about="List the runs (list, the default), show one (show) or remove one (rm RUN --yes).",
    operands=("[list|show|rm]", "[RUN]"),
    flags=(Flag("yes", bool, "really remove the run"), JSON),
)


def execute(arguments: Arguments) -> int:
    """Do what the first word says."""
    action = arguments.operands[0] if arguments.operands else "list"
    run = arguments.operands[1] if len(arguments.operands) > 1 else None
    if action not in ACTIONS:
        hint = nearest(action, ACTIONS) or f"There are {', '.join(ACTIONS)}."
        raise UsageError(f"minitf runs cannot {quoted(action)}.", hint=hint)
    if arguments.get("yes") and action != "rm":
        raise UsageError("--yes goes with minitf runs rm only.")
    as_json = bool(arguments.get("json"))
    if action == "list":
        if run is not None:
            raise UsageError(
                f"minitf runs list takes no run: {quoted(run)}.", hint="Try minitf runs show RUN."
            )
        return _list(as_json)
    if action == "show":
        return _show(run or "last", as_json)
    return _remove(run, as_json, is_sure=bool(arguments.get("yes")))


def _list(as_json: bool) -> int:
    from core.store.summary import list_runs

    summaries = list_runs()
    if as_json:
        output.say_json({"runs": [dataclasses.asdict(summary) for summary in summaries]})
    elif summaries:
        output.say(_table(summaries))
    else:
        output.say("There are no runs yet. minitf train makes one.")
    return SUCCESS


def _table(summaries: list[RunSummary]) -> str:
    head = ("run", "state", "text", "step", "loss", "bits/byte", "params", "size", "made")
    rows = [
        (
            escape(s.name),
            s.state,
            escape(_short(s.corpus)),
            fmt.whole(s.step),
            fmt.loss(s.val_loss),
            fmt.loss(s.bits_per_byte),
            fmt.count(s.n_params),
            fmt.size_bytes(s.size_bytes),
            escape(_moment(s.created)),
        )
        for s in summaries
    ]
    return reports.columns([head, *rows], left=3)


def _show(spec: str, as_json: bool) -> int:
    from core.store.metrics import baselines_in, read_metrics
    from core.store.summary import summarise

    run = _named(spec)
    about, events, vitals = summarise(run), read_metrics(run.path), Vitals()
    vitals.add_past(events)
    if as_json:
        health = {"health": vitals.last, "alerts": vitals.alerts}
        made = {"config": run.config.to_dict(), "provenance": output.plain(run.provenance)}
        output.say_json({**output.plain(about), **health, **made})
        return SUCCESS
    where = standing(about.val_loss, baselines_in(events))
    rows = [
        *_progress(about),
        *([("baselines", escape(where))] if where else []),
        *_health(vitals),
        *_origin(run, about),
    ]
    output.say(reports.titled(f"Run {escape(run.name)}", rows))
    for line in ["", *write_toml(run.config).rstrip().split("\n")]:
        output.say(escape(line))
    return SUCCESS


def _progress(about: RunSummary) -> list[reports.Row]:
    """How far it came, and how well it does."""
    best = []
    if about.val_loss is not None:
        bits = f", {fmt.loss(about.bits_per_byte)} bits per byte"
        best = [("best held out", f"{fmt.loss(about.val_loss)} nats per token{bits}")]
    step = fmt.budget(about.step, about.steps, about.seconds)
    return [("state", about.state), ("step", step), *best]


def _origin(run: Run, about: RunSummary) -> list[reports.Row]:
    """What it is made of, from what and where."""
    made = run.provenance
    device = [fact for name in ("device", "dtype") if (fact := _fact(made.get(name)))]
    if isinstance(threads := made.get("threads"), int) and 0 < threads <= MAX_THREADS:
        device.append(fmt.plural(threads, "thread"))
    if made.get("compiled") is True:
        device.append("compiled")
    origins = ("imported_from", "architecture", "init_from", "fork_of", "replay_of")
    return [
        ("parameters", fmt.whole(about.n_params)),
        ("text", escape(about.corpus)),
        ("tokenizer", escape(about.tokenizer)),
        *([("trained on", ", ".join(device))] if device else []),
        *((name.replace("_", " "), fact) for name in origins if (fact := _fact(made.get(name)))),
        *_quantization(run),
        ("size", fmt.size_bytes(about.size_bytes)),
        ("made", escape(_moment(about.created))),
        ("folder", escape(about.path)),
    ]


def _fact(value: object) -> str:
    """Words of a record that somebody else may have written; nothing where it has none."""
    return escape(shortened(value, LONGEST)) if isinstance(value, str) else ""


def _quantization(run: Run) -> list[reports.Row]:
    """Of a quantised run, what it was made from and how."""
    made = run.provenance.get("quantization")
    if not isinstance(made, dict):
        return []
    about = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in made.items())
    return [("quantization", escape(about))]


def _health(vitals: Vitals) -> list[reports.Row]:
    """What was measured last, and all that was said."""
    last = [] if vitals.last is None else [("health", escape(summary(vitals.last)))]
    said = [("alert", f"step {a.step:,}, {a.kind}: {a.sentence} {a.hint}") for a in vitals.alerts]
    return [*last, *said]


def _remove(spec: str | None, as_json: bool, *, is_sure: bool) -> int:
    from core.store.run import delete_run

    if spec is None:
        raise UsageError("minitf runs rm needs a RUN.", hint="minitf runs lists them.")
    if "@" in spec:
        raise UsageError(
            f"{quoted(spec)} is a checkpoint; only whole runs are removed.",
            hint="Leave out the @ and what follows.",
        )
    run = _named(spec)
    if not is_sure:
        raise UsageError(
            f"Nothing was removed: {escape(run.name)} would be gone for good.",
            hint=f"To remove it: minitf runs rm {escape(run.name)} --yes",
        )
    delete_run(run)
    if as_json:
        output.say_json({"removed": run.name, "path": str(run.path)})
    else:
        output.say(f"Removed {escape(run.name)}.")
    return SUCCESS


def _named(spec: str) -> Run:
    """The run that RUN means, also one that has no checkpoint yet."""
    from core.store.find import find_run

    return find_run(spec, needs_checkpoint=False).run


def _short(corpus: str) -> str:
    name = PurePath(corpus).name or corpus
    return name if len(name) <= 20 else f"{name[:17]}..."


def _moment(created: str) -> str:
    return created[:16].replace("T", " ")
