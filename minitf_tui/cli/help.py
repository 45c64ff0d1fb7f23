"""Help texts, laid out from the commands' own tables."""

from __future__ import annotations

TYPE_CHECKING = False  # nothing is imported for the overview: it is there at once
if TYPE_CHECKING:
    from collections.abc import Mapping

    from minitf_tui.cli.arguments import Command, Flag

WIDTH = 80
COLUMN = 26
_HEADINGS = {"": "Flags", "model": "Model", "text": "Text", "train": "Train", "eval": "Eval"}
_INTRO = "minitf: train small transformers in the terminal, and look inside them."
_FLAGS = "Flags: --help, --version, --no-autostart (open the app, and let it wait for you)"
_OUTRO = """\
RUN is a name, a path, last (the default) or best; NAME@STEP is one checkpoint.
MINITF_HOME=FOLDER keeps all data there.  minitf COMMAND --help tells the rest."""


def overview(commands: Mapping[str, str]) -> str:
    """What `minitf --help` prints; fits a screen."""
    rows = [_row(f"minitf {name}", about) for name, about in commands.items()]
    return "\n".join([_INTRO, *rows, "", _FLAGS, _OUTRO])


def page(command: Command) -> str:
    """What `minitf COMMAND --help` prints."""
    form = " ".join(["minitf", command.name, *command.operands, "[FLAGS]"])
    lines = [f"Usage: {form}", "", _filled(command.about, WIDTH)]
    groups = dict.fromkeys(flag.group for flag in command.flags)
    for group in groups:
        lines += ["", f"{_HEADINGS.get(group, group.title())}:"]
        lines += [_row(_left(flag), _right(flag)) for flag in command.flags if flag.group == group]
        if not group:
            lines.append(_row("--help", "print this"))
    if command.notes:
        lines += ["", *(_filled(note, WIDTH) for note in command.notes)]
    return "\n".join(lines)


def _left(flag: Flag) -> str:
    if flag.kind is bool:
        return f"--[no-]{flag.name}" if flag.is_setting_switch else f"--{flag.name}"
    return f"--{flag.name} {flag.value_name}"


def _right(flag: Flag) -> str:
    words = flag.help
    if flag.choices:
        words += f": {', '.join(flag.choices)}"
    facts = [flag.unit] if flag.unit else []
    if flag.items:
        facts += [f"default {','.join(map(str, flag.default))}"] if flag.default else []
    elif flag.kind is tuple:
        facts.append("may be given more than once")
    elif flag.default is not None and flag.default != "":
        facts.append(f"default {_shown(flag.default)}")
    return f"{words} ({'; '.join(facts)})" if facts else words


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _row(left: str, right: str) -> str:
    indent = " " * COLUMN
    first = f"  {left}".ljust(COLUMN)
    if len(first) > COLUMN or not first.endswith(" "):
        first = f"{first}\n{indent}"
    return first + _filled(right, WIDTH - COLUMN).replace("\n", f"\n{indent}")


def _filled(text: str, width: int) -> str:
    """A line that fits stays as it is, spaces and all."""
    if len(text) <= width:
        return text
    import textwrap

    return textwrap.fill(text, width, break_on_hyphens=False)
