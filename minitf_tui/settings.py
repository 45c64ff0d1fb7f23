"""What the app remembers from one start to the next, in `<data dir>/settings.toml`.

The file belongs to the user: it is read key by key, so that one bad value costs one default; it
is written only when something is changed in the app; keys that this version does not know are
kept; and a file that is no TOML at all is put aside, not lost.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import paths
from core.config.toml_text import read_file, read_tables
from core.errors import ConfigError, MinitfError
from core.fields import check_types, default, in_choices, setting
from minitf_tui.pacing import SHARE

FILE_NAME = "settings.toml"
OLD_SUFFIX = ".old"
MARKERS = ("braille", "hd", "full", "ascii")
_HEAD = "# What the minitf app remembers. It is written when you change something in the app.\n"
_RANGES = {"smoothing": (0.0, 0.99), "plot_share": (0.005, 0.5)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How somebody likes the app."""

    theme: str = setting("minitf-dark", "name of a theme; Ctrl+P lists them")
    smoothing: float = setting(0.9, "share of the old in the mean of the loss, 0 to 0.99")
    log_y: bool = setting(False, "the loss on a logarithmic scale")
    baselines: bool = setting(True, "baselines as levels in the plot of the loss")
    markers: str = setting(
        "braille", "what lines in plots are made of: braille, hd, full or ascii", choices=MARKERS
    )
    plot_share: float = setting(
        SHARE, "most of one processor that drawing may take, 0.005 to 0.5; training loses it"
    )
    low_bandwidth: bool = setting(False, "look twice a second instead of 20 times: for slow lines")

    def __post_init__(self) -> None:
        check_types(self)
        in_choices(self)
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigError(
                    f"{name}={value:g} is not between {least:g} and {most:g}.",
                    hint=f"The default is {default(self, name)}.",
                )

    @property
    def dots(self) -> str:
        """What `figure.Figure.dots` is to be; the Linux console has no braille."""
        is_plain = self.markers == "braille" and os.environ.get("TERM") == "linux"
        return "*" if is_plain or self.markers == "ascii" else self.markers


class SettingsError(MinitfError):
    """The file of the settings cannot be read or written."""


def settings_file() -> Path:
    """Where they are, or would be."""
    return paths.data_dir() / FILE_NAME


def load_settings() -> tuple[Settings, SettingsError | None]:
    """The settings, with defaults for what cannot be read; and what that was, if anything."""
    try:
        tables = _read(settings_file())
    except FileNotFoundError:
        return Settings(), None
    except (OSError, ValueError) as error:
        return Settings(), _unreadable(str(error))
    known = {item.name for item in dataclasses.fields(Settings)}
    settings, problems = Settings(), []
    for name in known & tables.keys():
        try:
            settings = dataclasses.replace(settings, **{name: tables[name]})
        except ConfigError as error:
            problems.append(str(error))
    return settings, _unreadable(" ".join(sorted(problems))) if problems else None


def save_settings(settings: Settings) -> None:
    """Write them, whole or not at all, beside the keys that are not ours.

    Raises:
        SettingsError: the file cannot be written.
    """
    import tomli_w

    from core.store.files import write_atomically

    path, ours = settings_file(), dataclasses.asdict(settings)
    try:
        strange = {k: v for k, v in _kept(path).items() if k not in ours}
        parts = [_HEAD]
        for item in dataclasses.fields(settings):
            line = tomli_w.dumps({item.name: ours[item.name]})
            parts.append(f"\n# {item.metadata['help']}\n{line}")
        if strange:
            parts.append(f"\n# Not of this version of minitf.\n{tomli_w.dumps(strange)}")
        write_atomically(path, "".join(parts).encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise SettingsError(
            f"The settings cannot be kept: {error.strerror or error}.",
            hint=f"They hold until you leave. The file would be {path}.",
        ) from error


def _read(path: Path) -> dict[str, Any]:
    return read_tables(read_file(path))


def _kept(path: Path) -> dict[str, Any]:
    """What stands in the file; one that is no TOML is put aside."""
    try:
        return _read(path)
    except FileNotFoundError:
        return {}
    except ValueError:
        path.replace(path.with_suffix(path.suffix + OLD_SUFFIX))
        return {}


def _unreadable(what: str) -> SettingsError:
    return SettingsError(
        f"Not all of the settings can be read: {what.rstrip('.')}.",
        hint=f"Defaults stand in. {settings_file()} stays as it is until you change one here.",
    )
