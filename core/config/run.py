"""All that determines a training run, as one value; TOML both ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.config.model import ModelConfig
from core.config.text import TextConfig
from core.config.toml_text import read_tables
from core.config.train import BUDGETS, EvalConfig, TrainConfig
from core.config.written import TASKS
from core.errors import ConfigError, did_you_mean
from core.fields import flag_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """All that determines a training run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    text: TextConfig = field(default_factory=TextConfig)
    train: TrainConfig = field(default_factory=lambda: TrainConfig(steps=1000))
    eval: EvalConfig = field(default_factory=EvalConfig)

    def __post_init__(self) -> None:
        if self.train.context > self.model.max_seq_len:
            raise ConfigError(
                f"context={self.train.context} is longer than"
                f" max_seq_len={self.model.max_seq_len}.",
                hint=f"Try max_seq_len={self.train.context} or a shorter context.",
            )
        if self.train.answers_only and not self.text.is_task:
            raise ConfigError(
                f"answers_only needs a task, and the corpus is {self.text.corpus!r}.",
                hint=f"Try corpus={TASKS[0]}, or answers_only=false.",
            )
        if self.eval.stride > self.train.context:
            raise ConfigError(
                f"stride={self.eval.stride} is longer than context={self.train.context}: "
                "tokens would be left out.",
                hint=f"Try stride={self.train.context}.",
            )

    def with_changes(self, **changes: Any) -> RunConfig:
        """The same run with some fields replaced, named as on the command line.

        A new budget replaces the old one: `steps=200` also lifts limits in seconds and epochs, and
        so does `steps=0` alone: nothing is trained. A longer `context` alone makes the model hold
        it, and a task as the `corpus` alone is read in characters, for BPE would join questions
        and answers.

        Raises:
            ConfigError: a name is unknown or a value impossible.
        """
        changes = _with_one_budget(changes)
        context = changes.get("context")
        if type(context) is int and context > self.model.max_seq_len:
            changes.setdefault("max_seq_len", context)
        changes = self._with_its_tokenizer(changes)
        sections: dict[str, dict[str, Any]] = {}
        owners = {about.name: section for section, about in flag_fields(self)}
        for name, value in changes.items():
            if name not in owners:
                raise ConfigError(f"There is no setting {name!r}.", hint=did_you_mean(name, owners))
            sections.setdefault(owners[name], {})[name] = value
        return self._replaced(sections)

    def _with_its_tokenizer(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """A task that comes without a tokenizer takes characters in place of BPE."""
        if changes.get("corpus") in TASKS and self.text.tokenizer == "bpe":
            return {"tokenizer": "char", **changes}
        return dict(changes)

    def _replaced(self, sections: Mapping[str, Mapping[str, Any]]) -> RunConfig:
        parts = {
            name: dataclasses.replace(getattr(self, name), **sections[name]) for name in sections
        }
        return dataclasses.replace(self, **parts)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Plain tables, ready for TOML."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any], base: RunConfig | None = None) -> RunConfig:
        """The config that `tables` describes, on top of `base` (default: the defaults).

        Raises:
            ConfigError: a table or field is unknown, or a value impossible.
        """
        base = base or cls()
        if isinstance(tables.get("train"), Mapping):
            tables = {**tables, "train": _with_one_budget(tables["train"])}
        if isinstance(tables.get("text"), Mapping):
            tables = {**tables, "text": base._with_its_tokenizer(tables["text"])}
        for section, values in tables.items():
            known = {f.name for f in dataclasses.fields(base)}
            if section not in known or not isinstance(values, Mapping):
                raise ConfigError(
                    f"The config has no table [{section}].",
                    hint=_home_of(section, base) or did_you_mean(section, known),
                )
            names = {f.name for f in dataclasses.fields(getattr(base, section))}
            for name in values:
                if name not in names:
                    raise ConfigError(
                        f"The table [{section}] has no field {name!r}.",
                        hint=did_you_mean(name, names),
                    )
        return base._replaced(tables)


def _home_of(name: str, config: RunConfig) -> str:
    """Where a setting belongs that stands outside of all tables; "" if it is none."""
    sections = [section for section, about in flag_fields(config) if about.name == name]
    return f"The setting {name} belongs below [{sections[0]}]." if sections else ""


def _with_one_budget(changes: Mapping[str, Any]) -> dict[str, Any]:
    """A budget that is given lifts those that are not; `steps=0` alone is one too."""
    given = {name for name in BUDGETS if name in changes}
    if given == {"steps"} or any(changes[name] for name in given):
        return {**BUDGETS, **changes}
    return dict(changes)


def read_toml(text: str, base: RunConfig | None = None, *, source: str = "config") -> RunConfig:
    """Parse a config file.

    Raises:
        ConfigError: not TOML, or not a config.
    """
    try:
        tables = read_tables(text)
    except ValueError as error:
        raise ConfigError(
            f"{source} is not valid TOML: {error}.",
            hint="The tables are [model], [text], [train] and [eval].",
        ) from error
    if isinstance(tables.get("model"), dict) and tables["model"].get("vocab_size"):
        raise ConfigError(
            f"{source} sets vocab_size in [model], where it comes from the tokenizer.",
            hint="Set it in [text].",
        )
    return RunConfig.from_dict(tables, base)


def write_toml(config: RunConfig) -> str:
    """The config as TOML text; `read_toml` gives it back."""
    import tomli_w

    return tomli_w.dumps(config.to_dict())
