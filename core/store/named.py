"""A config by a name: a preset, a TOML file, or a run that has it. Never imports torch."""

from __future__ import annotations

from pathlib import Path

from core import paths
from core.config import RunConfig, read_toml
from core.config.toml_text import read_file
from core.errors import ConfigError, RunError
from core.presets import PRESETS, preset
from core.store.find import find_run

BASE = "quick"
"""The preset on top of which a file stands."""


def config_named(spec: str) -> RunConfig:
    """What `spec` means; of a run its settings, not its weights.

    Raises:
        ConfigError: nothing is called that, or the file is no config.
        RunError: the run cannot be read.
    """
    if spec in PRESETS:
        return preset(spec)
    path = paths.absolute(spec)
    if path.suffix == ".toml" or _is_file(path):
        try:
            text = read_file(path)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise ConfigError(
                f"The config file {spec} cannot be read: {reason}.",
                hint="Name a TOML file, a preset or a run.",
            ) from error
        return read_toml(text, preset(BASE), source=spec)
    try:
        return find_run(spec, needs_checkpoint=False).run.config
    except RunError as error:
        if not str(error).startswith("There is no run"):
            raise
        raise ConfigError(
            f"{spec!r} is no preset, no file and no run.",
            hint="minitf presets and minitf runs list those that there are.",
        ) from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than any file's can be
        return False
