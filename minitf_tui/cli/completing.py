"""What could stand where the cursor is: the answer to `minitf __complete SHELL ...`.

The scripts of `minitf completion` ask it at each Tab, so it imports nothing heavy, says
nothing but answers, and never fails. An answer is a line; `:files` asks the shell for files.
"""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.errors import MinitfError
from core.presets import ABOUT
from minitf_tui.cli.arguments import Command, Flag
from minitf_tui.cli.exit_codes import SUCCESS
from minitf_tui.cli.main import COMMANDS

FILES = ":files"
TEXTS = ("python-docs", "python-source", "generated")
"""Names that a corpus may have; offered as far as the flag's own help knows them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole word that fits, and what it means."""

    word: str
    about: str = ""


AS_FILES = Answer(FILES)
_TOP_FLAGS = (
    Answer("--help", "list the commands"),
    Answer("--version", "print the version"),
    Answer("--no-autostart", "open the app, and let it wait"),
)
_RUNS = (Answer("last", "the newest run"), Answer("best", "the lowest validation loss"))


def execute(words: Sequence[str]) -> int:
    """Print the answers for a shell: `bash LINE POINT WORD`, `zsh WORD...`, `fish WORD...`."""
    shell, *rest = words or [""]
    if shell == "bash" and len(rest) == 3:
        _print_for_bash(*rest)
        return SUCCESS
    for answer in answers(rest or [""]):
        word, about = answer.word, " ".join(answer.about.split())
        if shell == "zsh" and answer is not AS_FILES:
            word = word.replace(":", "\\:")
        between = ":" if shell == "zsh" else "\t"
        print(f"{word}{between}{about}" if about else word)
    return SUCCESS


def _print_for_bash(line: str, point: str, word: str) -> None:
    """bash completes only what follows the last = or @, so that is what it gets."""
    cut = line[: int(point)] if point.isdecimal() else line
    words = split(cut)[1:] or [""]
    done = len(words[-1]) - len(word) if words[-1].endswith(word) else 0
    for answer in answers(words):
        print(answer.word if answer is AS_FILES else answer.word[done:])


def split(line: str) -> list[str]:
    """The words of a line that is still being typed; the last one may be empty."""
    for whole in (line, line.removesuffix("\\"), line + '"', line + "'"):
        try:
            words = shlex.split(whole)
        except ValueError:
            continue
        is_open = whole != line or not line[-1:].isspace()
        return words if is_open and words else [*words, ""]
    return [""]


def answers(words: Sequence[str]) -> list[Answer]:
    """What fits in the place of the last of `words`, which follow `minitf`."""
    current = words[-1]
    return [a for a in _possible(words) if a is AS_FILES or a.word.startswith(current)]


def _possible(words: Sequence[str]) -> Iterator[Answer]:
    *before, current = words
    if not before or before == ["help"]:
        yield from (Answer(name, about) for name, (_, about) in COMMANDS.items())
        if not before and current.startswith("-"):
            yield from _TOP_FLAGS
    elif before[0] in COMMANDS:
        command: Command = importlib.import_module(COMMANDS[before[0]][0]).COMMAND
        yield from _of_command(command, before[1:], current)


def _of_command(command: Command, before: Sequence[str], current: str) -> Iterator[Answer]:
    flags = {spelling: flag for flag in command.flags for spelling in flag.spellings}
    operands: list[str] = []
    waiting: Flag | None = None
    for word in before[: before.index("--")] if "--" in before else before:
        flag = flags.get(word)
        if waiting is not None:
            waiting = None
        elif flag is not None and flag.kind is not bool:
            waiting = flag
        elif flag is None and not word.startswith("-"):
            operands.append(word)
    spelling, has_value, _ = current.partition("=")
    if waiting is not None:
        yield from _values(waiting, current)
    elif has_value and spelling in flags:
        for answer in _values(flags[spelling], current[len(spelling) + 1 :]):
            is_files = answer is AS_FILES
            yield answer if is_files else Answer(f"{spelling}={answer.word}", answer.about)
    elif current.startswith("-") and "--" not in before:
        yield from _flags(command, before, current)
    else:
        yield from _operands(command, operands, current)


def _flags(command: Command, before: Sequence[str], current: str) -> Iterator[Answer]:
    """Those not given yet; the opposite of a switch only to somebody who types --no."""
    given = {word.partition("=")[0] for word in before}
    for flag in command.flags:
        if given & set(flag.spellings):
            continue
        yield Answer(flag.spellings[0], flag.help)
        if flag.is_setting_switch and current.startswith("--n"):
            yield Answer(flag.spellings[1], f"off: {flag.help}")
    yield Answer("--help", "what the command does and accepts")


def _operands(command: Command, operands: Sequence[str], current: str) -> Iterator[Answer]:
    forms = [form.strip("[]") for form in command.operands]
    if len(operands) >= len(forms) and "..." not in "".join(forms):
        return
    form = forms[min(len(operands), len(forms) - 1)]
    if "|" in form:
        yield from map(Answer, form.split("|"))
    elif form == "PRESET":
        yield from (Answer(name, about) for name, about in ABOUT.items())
    elif form in ("COMMAND", "UNIT"):
        from core.config import UNITS
        from minitf_tui.cli import ctl

        known = ctl.COMMANDS if form == "COMMAND" else dict.fromkeys(UNITS, "")
        yield from (Answer(name, about) for name, about in known.items())
    elif form.startswith("RUN"):
        yield from _runs(current)
        if form.endswith("FILE"):
            yield AS_FILES
    elif form.startswith(("FILE", "SOURCE")):
        yield AS_FILES


def _values(flag: Flag, current: str) -> Iterator[Answer]:
    if flag.name == "preset":
        yield from (Answer(name, about) for name, about in ABOUT.items())
    elif flag.items:
        done, comma, _ = current.rpartition(",")
        yield from (Answer(done + comma + c) for c in flag.choices if c not in done.split(","))
    elif flag.choices:
        yield from map(Answer, flag.choices)
    elif flag.value_name == "RUN":
        yield from _runs(current)
    elif flag.name in ("corpus", "text"):
        yield from (Answer(name) for name in TEXTS if name in flag.help)
        yield AS_FILES
    elif flag.kind.__name__ == "Path" or flag.value_name == "FILE":
        yield AS_FILES


def _runs(current: str) -> Iterator[Answer]:
    from core.store.find import run_names

    name, at, _ = current.rpartition("@")
    if at and "/" not in current:
        yield from (Answer(f"{name}@{step}") for step in _steps(name))
        return
    yield from _RUNS
    yield from map(Answer, run_names())
    if current.startswith((".", "~", "/")) or "/" in current:
        yield AS_FILES


def _steps(name: str) -> list[str]:
    from core.store.find import find_run

    try:
        steps = find_run(name, needs_checkpoint=False).run.checkpoint_steps()
    except (MinitfError, OSError):
        return []
    return [*map(str, steps), "last", "best"]
