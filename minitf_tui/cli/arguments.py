"""The grammar of the command line: `minitf CMD [RUN] --flag value --switch --no-switch`.

Flags are made from the fields of the config dataclasses, so a new setting in core is a new
flag here. Parsing keeps only what was typed: defaults belong to core. Every mistake is a
`UsageError`, one sentence with the value escaped, and a hint.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.errors import MinitfError
from core.fields import flag_fields
from minitf_tui import escapes
from minitf_tui.problems import quoted

LARGEST_INT = 2**63 - 1
_METAVARS = {int: "N", float: "X", str: "TEXT", tuple: "TEXT", Path: "FILE"}


class UsageError(MinitfError):
    """Something was typed that minitf cannot follow."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One `--name`, and all that is known about it."""

    name: str
    """As typed, without the dashes: "max-seq-len"."""
    kind: type
    """bool (a switch), int, float, str, Path, or tuple (texts, one each time it is given)."""
    help: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    default: Any = None
    """Shown in the help, never filled in."""
    group: str = ""
    metavar: str = ""
    items: type | None = None
    """Of a tuple whose parts are typed with commas between them: what they are."""

    @property
    def key(self) -> str:
        """The field's name in Python."""
        return self.name.replace("-", "_")

    @property
    def spellings(self) -> tuple[str, ...]:
        """What can be typed: a switch that is a setting can be turned off too."""
        plain = f"--{self.name}"
        return (plain, f"--no-{self.name}") if self.is_setting_switch else (plain,)

    @property
    def is_setting_switch(self) -> bool:
        """A switch with a default, hence with an opposite."""
        return self.kind is bool and self.default is not None

    @property
    def value_name(self) -> str:
        """What stands for the value in the help."""
        name = "NAME" if self.choices else _METAVARS.get(self.items or self.kind, "")
        return self.metavar or (f"{name},..." if self.items else name)


JSON = Flag("json", bool, "print one JSON object on stdout, nothing else")
METRICS = Flag("metrics", Path, "also keep the figures in this JSON file, beside others there")


@dataclass(frozen=True, slots=True)
class Command:
    """What a command is called, says about itself and accepts."""

    name: str
    about: str
    flags: tuple[Flag, ...] = ()
    operands: tuple[str, ...] = ("[RUN]",)
    """Words after the command; those that can be left out are in brackets, and a last one with
    dots stands for any number."""
    notes: tuple[str, ...] = ()
    """Lines under the flags in the help."""

    def flag(self, key: str) -> Flag:
        """The flag of that field."""
        return next(flag for flag in self.flags if flag.key == key)


@dataclass(frozen=True, slots=True)
class Arguments:
    """What was typed, checked and converted."""

    operands: tuple[str, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    """By field name, only those given."""

    @property
    def run(self) -> str:
        """The RUN that is meant."""
        return self.operands[0] if self.operands else "last"

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a flag, or `default` when it was not given."""
        return self.values.get(key, default)

    def among(self, keys: Iterable[str]) -> dict[str, Any]:
        """The given flags that are in `keys`."""
        return {key: self.values[key] for key in keys if key in self.values}


def flags_of(config: Any, keys: Sequence[str] = ()) -> tuple[Flag, ...]:
    """A flag for each field of `config` (or for those in `keys`), its values as defaults."""
    return tuple(
        Flag(
            name=about.name.replace("_", "-"),
            kind=type(about.default),
            help=about.metadata["help"],
            unit=about.metadata["unit"],
            choices=about.metadata["choices"],
            items=about.metadata["items"],
            default=getattr(getattr(config, section) if section else config, about.name),
            group=section,
        )
        for section, about in flag_fields(config)
        if not keys or about.name in keys
    )


def field_names(config: Any) -> tuple[str, ...]:
    """Names of the fields that `flags_of` made flags of."""
    return tuple(about.name for _, about in flag_fields(config))


def parse(command: Command, words: Sequence[str]) -> Arguments:
    """What `words` ask of `command`.

    Raises:
        UsageError: they cannot be followed.
    """
    spellings = {spelling: flag for flag in command.flags for spelling in flag.spellings}
    operands: list[str] = []
    values: dict[str, Any] = {}
    queue = iter(words)
    for word in queue:
        if word == "--":
            operands.extend(queue)
        elif _looks_like_flag(word):
            spelling, has_value, value = word.partition("=")
            if spelling not in spellings:
                raise _unknown_flag(command, spelling, spellings)
            flag = spellings[spelling]
            if flag.kind is bool:
                if has_value:
                    raise UsageError(f"{spelling} is a switch and takes no value.")
                values[flag.key] = not spelling.startswith("--no-") or flag.name.startswith("no-")
            else:
                text = value if has_value else _next_value(flag, queue, spellings)
                earlier = values.get(flag.key, ())
                if flag.items:
                    values[flag.key] = (*earlier, *listed(flag, text))
                else:
                    found = convert(flag, text)
                    values[flag.key] = (*earlier, found) if flag.kind is tuple else found
        else:
            operands.append(word)
    _check_operands(command, operands)
    return Arguments(tuple(operands), values)


def convert(flag: Flag, text: str) -> Any:
    """The value that `text` means for `flag`; of a tuple, the one that this text adds.

    Raises:
        UsageError: it means none.
    """
    shown = f"--{flag.name}={quoted(text)}"
    hint = f"As in --{flag.name} {flag.default}." if flag.default else ""
    if flag.kind is int:
        try:
            number = whole(text)
        except ValueError:
            raise UsageError(f"{shown} is not a whole number.", hint=hint) from None
        if abs(number) > LARGEST_INT:
            raise UsageError(f"{shown} is too large a number.", hint=hint)
        return number
    if flag.kind is float:
        try:
            return float(text)
        except ValueError:
            raise UsageError(f"{shown} is not a number.", hint=hint) from None
    if flag.choices and text not in flag.choices:
        near = nearest(text, flag.choices)
        raise UsageError(f"{shown} is not one of {', '.join(flag.choices)}.", hint=near)
    if flag.kind is tuple:
        text = escapes.read(text)
    if not _is_unicode(text):  # neither TOML nor JSON could keep it
        raise UsageError(f"{shown} is not valid UTF-8.")
    if flag.kind is Path:
        if not text or "\0" in text:
            raise UsageError(f"{shown} is not the name of a file.")
        return Path(text)
    return text


def listed(flag: Flag, text: str) -> tuple[Any, ...]:
    """The values that a text with commas means for `flag`.

    Raises:
        UsageError: one of them means nothing.
    """
    assert flag.items is not None
    one = replace(flag, kind=flag.items, items=None, default=_shown_list(flag.default))
    return tuple(convert(one, part.strip()) for part in text.split(","))


def _shown_list(value: Any) -> str:
    return ",".join(map(str, value or ()))


def whole(text: str) -> int:
    """Digits, or a float's way to write many of them: 5e6."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():
            raise
        return int(number)


def nearest(word: str, known: Iterable[str]) -> str:
    """`Did you mean …?`, or nothing when no known word is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean {close[0]}?" if close else ""


def _next_value(flag: Flag, queue: Iterator[str], spellings: dict[str, Flag]) -> str:
    word = next(queue, None)
    if word is None or word.partition("=")[0] in spellings or word == "--":
        raise UsageError(
            f"--{flag.name} needs a value.", hint=f"As in --{flag.name} {_example(flag)}."
        )
    return word


def _example(flag: Flag) -> str:
    if flag.choices:
        return flag.choices[0]
    default = _shown_list(flag.default) if flag.items else flag.default
    return str(default or flag.value_name)


def _looks_like_flag(word: str) -> bool:
    return len(word) > 1 and word[0] == "-" and not (word[1].isdigit() or word[1] == ".")


def _unknown_flag(command: Command, spelling: str, known: Iterable[str]) -> UsageError:
    hint = nearest(spelling, known) or f"minitf {command.name} --help lists the flags."
    return UsageError(f"minitf {command.name} has no flag {quoted(spelling)}.", hint=hint)


def _check_operands(command: Command, operands: Sequence[str]) -> None:
    allowed = len(command.operands)
    is_open_ended = command.operands[-1:] and "..." in command.operands[-1]
    form = " ".join(("minitf", command.name, *command.operands))
    if len(operands) > allowed and not is_open_ended:
        extra = quoted(operands[allowed])
        raise UsageError(f"There is a word too many: {extra}.", hint=f"The form is {form}.")
    needed = sum(not operand.startswith("[") for operand in command.operands)
    if len(operands) < needed:
        missing = command.operands[len(operands)]
        hint = f"The form is {form}; minitf {command.name} --help tells what may stand there."
        raise UsageError(f"minitf {command.name} needs a {missing}.", hint=hint)
    for operand in operands:
        if not operand or not _is_unicode(operand):
            raise UsageError(f"{quoted(operand)} is not the name of a run.")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
