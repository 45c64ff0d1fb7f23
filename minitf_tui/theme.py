"""The two themes: quiet greys, one accent for what is alive, amber for what was measured."""

from __future__ import annotations

from textual.color import Color
from textual.theme import Theme

_STRENGTH = {"quiet": 0.6, "ghost": 0.25}
"""How much of the foreground our two greys have in a theme of others."""


def variables_for(theme: Theme) -> dict[str, str]:
    """The colours that our styles name and a theme of others lacks."""
    if theme.ansi:  # the terminal's own sixteen: nothing to blend, and no panel
        return dict.fromkeys((*_STRENGTH, "line"), "ansi_bright_black")
    colours = theme.to_color_system().generate()
    front, back = Color.parse(colours["foreground"]), Color.parse(colours["background"])
    greys = {name: back.blend(front, share).hex for name, share in _STRENGTH.items()}
    return greys | {"line": colours["panel"]}


def _variables(*, accent: str, back: str, line: str, quiet: str, ghost: str) -> dict[str, str]:
    return {
        "quiet": quiet,
        "ghost": ghost,
        "line": line,
        "input-cursor-background": accent,
        "input-cursor-foreground": back,
        "input-selection-background": f"{accent} 30%",
        "scrollbar": line,
        "scrollbar-background": back,
        "scrollbar-background-hover": back,
        "scrollbar-background-active": back,
        "scrollbar-corner-color": back,
    }


DARK = Theme(
    name="minitf-dark",
    dark=True,
    primary="#4fb8a3",
    secondary="#7f9bb8",
    accent="#4fb8a3",
    warning="#e0a95e",
    success="#8fbf7f",
    error="#e5736f",
    foreground="#d3d9e0",
    background="#0f1317",
    surface="#1a2027",
    panel="#2a323b",
    variables=_variables(
        accent="#4fb8a3", back="#0f1317", line="#2a323b", quiet="#7d8894", ghost="#3d4954"
    ),
)

LIGHT = Theme(
    name="minitf-light",
    dark=False,
    primary="#0c7a69",
    secondary="#4a6785",
    accent="#0c7a69",
    warning="#a6620a",
    success="#3c7a2d",
    error="#b5302b",
    foreground="#22272e",
    background="#faf9f6",
    surface="#edebe8",  # in 256 colours a grey; a warmer one becomes pink there
    panel="#d8d4ca",
    variables=_variables(
        accent="#0c7a69", back="#faf9f6", line="#d8d4ca", quiet="#6d7480", ghost="#c6cacb"
    ),
)

THEMES = (DARK, LIGHT)
