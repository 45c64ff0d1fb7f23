"""`minitf doctor`: all that a report of a problem needs, and how fast this machine is."""

from __future__ import annotations

from typing import Any

from core.errors import MinitfError
from core.events import Event, MachineExamined, SetupProgressed
from minitf_tui import format as fmt
from minitf_tui.cli import output, reports, surroundings
from minitf_tui.cli.arguments import JSON, Arguments, Command, Flag
from minitf_tui.cli.evaluate import MACHINE, MACHINE_FLAGS
from minitf_tui.cli.progress import ProgressLine
from minitf_tui.cli.running import FAULT, SUCCESS, drive
from minitf_tui.problems import escape, explain

COMMAND = Command(
    name="doctor",
    about="Look at versions, device, terminal and folders, and time the machine (a few seconds).",
    operands=(),
    flags=(
        Flag("quick", bool, "look only, and time nothing"),
        Flag(
            "train",
            str,
            "time all ways to train this preset, file or run, and keep the best",
            metavar="NAME",
        ),
        JSON,
        *MACHINE_FLAGS,
    ),
    notes=("The report can be pasted into a bug report; it names your folders and your system.",),
)
COLOURS = {0: "none", 16: "16", 256: "256", 1 << 24: "16 million"}


def execute(arguments: Arguments) -> int:
    """Examine, report, and return the exit code."""
    from core import recipes

    variables = surroundings.openmp()  # before we set one ourselves
    session = recipes.examination(
        is_measuring=not arguments.get("quick"), **arguments.among(("train", *MACHINE))
    )
    line = ProgressLine()
    done: list[dict[str, Any]] = []

    def listen(event: Event) -> None:
        match event:
            case SetupProgressed():
                line.stage(event.stage)
            case MachineExamined():
                done.append(output.plain(event.result))

    code = SUCCESS
    try:
        code = drive(session, listen).exit_code
    except MinitfError:
        raise
    except Exception as error:  # a broken PyTorch is what a doctor is called for
        code = FAULT
        done.append({"error": explain(error)})
    finally:
        line.clear()
    for machine in done:
        report = collect(machine, variables)
        output.say_json(report) if arguments.get("json") else output.say(text_of(report))
    return code


def collect(machine: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
    """The whole report, as `--json` prints it."""
    report: dict[str, Any] = {
        "versions": surroundings.versions(),
        "machine": machine,
        "openmp": variables,
        "terminal": surroundings.terminal(),
        "folders": surroundings.folders(),
    }
    found = surroundings.problems(report)
    return report | {"problems": [{"problem": what, "hint": hint} for what, hint in found]}


def text_of(report: dict[str, Any]) -> str:
    """The report as a person reads it: aligned, plain, without a character to act on."""
    parts = [
        reports.titled("Versions", _versions(report["versions"])),
        reports.titled("Machine", _machine(report["machine"], report["openmp"])),
        reports.titled("Terminal", _terminal(report["terminal"])),
        reports.titled("Folders", _folders(report["folders"])),
    ]
    if report["machine"].get("speeds"):
        parts.append(f"Speed, mean ± sd of repetitions\n{_speeds(report['machine']['speeds'])}")
    if report["machine"].get("paces"):
        parts.append(f"Training, ways timed on this machine\n{_paces(report['machine']['paces'])}")
    found = [part for p in report["problems"] for part in (p["problem"], f"  {p['hint']}")]
    parts.append("\n".join(["Problems", *(f"  {line}" for line in found or ["none"])]))
    return "\n".join(escape(line).rstrip() for line in "\n\n".join(parts).split("\n"))


def _versions(found: dict[str, str | None]) -> list[reports.Row]:
    return [(name, version or "missing") for name, version in found.items()]


def _machine(machine: dict[str, Any], variables: dict[str, str]) -> list[reports.Row]:
    if "error" in machine:
        return [("error", machine["error"])]
    about = machine["environment"]
    free = f"{fmt.size_bytes(machine['free_bytes'])} free"
    return [
        ("processor", about["device_name"]),
        ("cores", str(about["cores"])),
        ("memory", f"{fmt.size_bytes(machine['memory_bytes'])}, {free}"),
        ("devices", ", ".join(machine["devices"])),
        (
            "chosen",
            f"{about['device']} in {about['dtype']}, {fmt.plural(about['threads'], 'thread')}",
        ),
        *((name, value) for name, value in variables.items()),
    ]


def _terminal(seen: dict[str, Any]) -> list[reports.Row]:
    lines = "braille" if seen["braille"] else "blocks" if seen["unicode"] else "ASCII"
    return [
        ("TERM", _shown(seen["term"])),
        ("COLORTERM", _shown(seen["colorterm"])),
        ("NO_COLOR", "set" if seen["no_color"] else "not set"),
        ("colours", COLOURS[seen["colours"]]),
        ("size", f"{seen['columns']} × {seen['rows']}"),
        ("terminals", ", ".join(seen["terminals"]) or "none"),
        ("encoding", f"{seen['encoding']}, locale {seen['locale']}"),
        ("plots", f"in {lines}"),
        ("inside", ", ".join(seen["inside"]) or "neither tmux, screen nor ssh"),
    ]


def _folders(found: dict[str, dict[str, Any]]) -> list[reports.Row]:
    return [
        (
            name,
            f"{about['path']}  ({'can' if about['writable'] else 'cannot'} be written, "
            f"{fmt.size_bytes(about['free_bytes'])} free)",
        )
        for name, about in found.items()
    ]


def _speeds(speeds: list[dict[str, Any]]) -> str:
    rows = [
        (f"  {s['what']}", s["dtype"], fmt.mean_sd(s["mean"], s["sd"]), s["unit"]) for s in speeds
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join(
        f"{a.ljust(widths[0])}  {b.ljust(widths[1])}  {c.rjust(widths[2])} {d}"
        for a, b, c, d in rows
    )


def _paces(paces: list[dict[str, Any]]) -> str:
    lines = []
    for pace in paces:
        first, *others = pace["ways"]
        lines += [f"  {pace['shape']}", f"    {_way(first)}: {first['step_ms']:.1f} ms a step"]
        for way in others:
            compiled = f", compiled in {way['compile_s']:.0f} s" if way["is_compiled"] else ""
            word = "" if way["is_clear"] else ", not clearly faster"
            lines.append(f"    {_way(way)}: {1 / way['ratio']:.2f} × as fast{compiled}{word}")
        lines += [f"    {pace['note']}"] if pace["note"] else []
    return "\n".join(lines)


def _way(way: dict[str, Any]) -> str:
    return f"{fmt.plural(way['threads'], 'thread')} in {way['dtype']}"


def _shown(value: str | None) -> str:
    return "not set" if value is None else repr(value)[1:-1] or "empty"
