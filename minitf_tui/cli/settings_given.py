"""`--set NAME=VALUE`: settings of a run on the command line where they cannot all be flags."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core.presets import preset
from minitf_tui.cli.arguments import UsageError, convert, flags_of, listed, nearest
from minitf_tui.problems import quoted

SWITCH = {"true": True, "on": True, "false": False, "off": False}


def settings_given(words: Iterable[str], flag: str) -> dict[str, Any]:
    """The settings that `NAME=VALUE` words mean.

    Args:
        flag: with which they were typed, for what is said of a mistake.

    Raises:
        UsageError: one of them means none.
    """
    known = {about.key: about for about in flags_of(preset("quick"))}
    found: dict[str, Any] = {}
    for word in words:
        name, has_value, text = word.partition("=")
        key = name.strip().replace("-", "_")
        if not has_value:
            raise UsageError(
                f"{flag} takes NAME=VALUE, not {quoted(word)}.", hint=f"As in {flag} lr=3e-3."
            )
        if key not in known:
            raise UsageError(
                f"There is no setting {quoted(name)}.",
                hint=nearest(key, known) or "minitf train --help lists them.",
            )
        about = known[key]
        if about.kind is bool:
            if text.lower() not in SWITCH:
                raise UsageError(
                    f"{flag} {quoted(word)} is neither true nor false.",
                    hint=f"As in {flag} {key}=true.",
                )
            found[key] = SWITCH[text.lower()]
        elif about.items:
            found[key] = listed(about, text)
        else:
            found[key] = convert(about, text)
    return found
