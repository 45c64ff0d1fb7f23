"""Beginning with the weights of another run: its model, its tokenizer, any text and training."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from core.config import EvalConfig, ModelConfig, RunConfig, TrainConfig
from core.errors import CheckpointError, ConfigError
from core.store.checkpoint import read_weights, take_weights
from core.store.find import RunRef, find_run
from core.store.run import Run
from core.store.start import HASH, fingerprint, read_start, write_start
from core.store.tokenizers import tokenizer_of
from core.text.tokenizer import Tokenizer

FIND_TRIES = 5
OF_THE_MODEL = ("architecture", "tokenizer", "end_ids")
INHERITED = (*OF_THE_MODEL, "init_from", "imported_from", HASH, "fork_of", "fork_step")
"""Of a run's provenance: what a replay has in common with it beside what it measures itself."""
_BOUND = ("device", "dtype", "threads", "compile", "optimizer")
"""Settings of training that a fork keeps: by the first the same step has other figures, and
moments are those of their optimiser."""
_OF_THE_TEXT = ("tokenizer", "vocab_size", "fixed_vocab")


@dataclass(frozen=True, slots=True)
class Start:
    """A checkpoint of another run, read."""

    ref: RunRef
    tokenizer: Tokenizer
    weights: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a run keeps of where its weights came from; nothing if its seed made them."""

    provenance: dict[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Tensor] | None = None

    def fill(self, folder: Path) -> None:
        """Write it into the folder of a run that is being made.

        Raises:
            OSError: it cannot be written.
        """
        if self.weights is not None:
            write_start(folder, self.weights)


def find_start(spec: str) -> Start:
    """Read what `spec` means. A trainer may drop the checkpoint that was found: then it is
    looked for again.

    Raises:
        RunError: there is no such run, or its tokenizer is missing.
        CheckpointError: it has no such checkpoint, or a damaged one.
    """
    for _ in range(FIND_TRIES):
        ref = find_run(spec)
        try:
            return Start(ref, tokenizer_of(ref.run), read_weights(ref.run, ref.step))
        except CheckpointError as error:
            if ref.run.checkpoint_path(ref.step).is_dir():
                raise
            lost = error
    raise lost


def settings_for(config: RunConfig, source: Run, given: Collection[str]) -> RunConfig:
    """`config` with the model and the tokenizer of `source`; dropout is a matter of training.

    Args:
        given: settings that somebody asked for; the others of the model may differ.

    Raises:
        ConfigError: what was asked for is not what the model is.
    """
    theirs = source.config
    _check(config, source, given)
    context = min(config.train.context, theirs.model.max_seq_len)
    return RunConfig(
        model=replace(theirs.model, dropout=config.model.dropout),
        text=replace(config.text, **{name: getattr(theirs.text, name) for name in _OF_THE_TEXT}),
        train=replace(config.train, context=context),
        eval=replace(config.eval, stride=min(config.eval.stride, context)),
    )


def settings_for_fork(source: Run, step: int, changes: Mapping[str, Any]) -> RunConfig:
    """The settings of `source` with changes: those of training and of what is measured, and
    dropout. Weights, moments and tokens stay what they are.

    Raises:
        ConfigError: something else was to change, or there is no such setting.
    """
    config = source.config.with_changes(**changes)
    free = {f.name for f in (*fields(TrainConfig), *fields(EvalConfig))} | {"dropout"}
    for name in changes:
        if name in _BOUND or name not in free:
            raise ConfigError(
                f"{name} cannot change in a fork: {source.name} goes on with its own.",
                hint="A new run may begin with the same weights, and other text and settings:"
                f" minitf train --init-from {source.name}@{step}",
            )
    return config


def facts_for_fork(source: Run, step: int) -> dict[str, Any]:
    """What the provenance of a fork says of where it comes from."""
    whence = {"fork_of": f"{source.name}@{step}", "fork_step": step}
    return _kept_of(source, OF_THE_MODEL) | whence


def begin(start: Start | None, model: nn.Module) -> Beginning:
    """Give `model` the weights of `start`, if there is one.

    Raises:
        CheckpointError: they are of another model.
    """
    if start is None:
        return Beginning()
    run, step = start.ref.run, start.ref.step
    take_weights(run, step, start.weights, model)
    facts = {"init_from": f"{run.name}@{step}", HASH: fingerprint(start.weights)}
    return Beginning(facts | _kept_of(run, OF_THE_MODEL), start.weights)


def begin_again(source: Run, model: nn.Module) -> Beginning:
    """Give `model` the weights that `source` began with, if its seed did not make them.

    Raises:
        RunError: they are not there any more, or others.
        CheckpointError: they are of another model.
    """
    weights = read_start(source)
    if weights is not None:
        take_weights(source, 0, weights, model)
    return Beginning(_kept_of(source, INHERITED), weights)


def _kept_of(run: Run, names: Collection[str]) -> dict[str, Any]:
    return {name: run.provenance[name] for name in names if name in run.provenance}


def _check(config: RunConfig, source: Run, given: Collection[str]) -> None:
    for name in _OF_THE_TEXT:
        if name in given:
            raise ConfigError(
                f"{name}={getattr(config.text, name)} cannot be chosen: the tokenizer is that of"
                f" {source.name}.",
                hint="Leave it out.",
            )
    held = source.config.model.max_seq_len
    if "context" in given and config.train.context > held:
        raise ConfigError(
            f"context={config.train.context} is longer than the {held} positions that"
            f" {source.name} holds.",
            hint=f"Try context={held}.",
        )
    for name in (f.name for f in fields(ModelConfig) if f.name != "dropout"):
        asked, is_ = getattr(config.model, name), getattr(source.config.model, name)
        if name in given and asked != is_:
            raise ConfigError(
                f"{name}={asked} does not go with {source.name}, which has {name}={is_}.",
                hint="Leave it out: a run that begins with another's weights has its shape.",
            )
