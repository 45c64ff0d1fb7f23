"""What a run is made of, beside its folder: text, device, model, batches, probes, and the way in
which they are used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from core.config import RunConfig
from core.device import Device, choose_device, environment
from core.measure.ground import fitted
from core.measure.machine import check_memory
from core.measure.pace import settle
from core.model.transformer import Transformer
from core.probes import make_probes
from core.store.floor import floor_facts
from core.store.run import Run
from core.store.tokens import TokenizedText
from core.text.batches import Batches
from core.text.problem_batches import make_batches
from core.training.clock import Clock
from core.training.trainer import Probes
from core.training.wishes import Wishes

COMPILED, GAIN = "compiled", "pace_gain"
"""In the provenance of a run: whether its steps were compiled, and what its way gained."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a run is made of, beside its folder."""

    text: TokenizedText
    device: Device
    model: Transformer
    batches: Batches
    probes: Probes
    gain: float | None = None
    """See `core.measure.pace.Settled`."""


def device_of(run: Run) -> Device:
    """Device, dtype, threads and compiler that a run was made with."""
    made_with = run.provenance
    return choose_device(
        str(made_with["device"]),
        str(made_with["dtype"]),
        int(made_with["threads"]),
        is_compiled=made_with.get(COMPILED) is True,
    )


def wanted_device(config: RunConfig) -> Device:
    """What the settings say, and where they leave it open, the choice of default.

    Raises:
        DeviceError: it is not to be had here.
    """
    train = config.train
    is_compiled = train.compile == "on"
    return choose_device(train.device, train.dtype, train.threads, is_compiled=is_compiled)


def settled(config: RunConfig, text: TokenizedText) -> RunConfig:
    """What only the text decides: its full name, the number of token ids, and of steps in
    an epoch. Budgets in epochs and tokens become one in steps. A task's rows are drawn at
    random, each beginning with a problem, and the run says so."""
    config = fitted(config, text.tokenizer.vocab_size, len(text.train_ids))
    rows = "random" if config.text.is_task else config.train.rows  # see `core.text.problem_batches`
    named = replace(config.text, corpus=text.corpus)
    return replace(config, text=named, train=replace(config.train, rows=rows))


def build(config: RunConfig, text: TokenizedText, device: Device, wishes: Wishes) -> Parts:
    """The model and what it is trained with; a DeviceError if they would not fit into memory."""
    check_memory(config, device)
    return Parts(
        text=text,
        device=device,
        model=Transformer(config.model, seed=config.train.seed).to(device.type),
        batches=make_batches(config, text.tokenizer, text.train_ids),
        probes=make_probes(config, text, device, wishes.is_stopping),
    )


def paced(config: RunConfig, parts: Parts, clock: Clock, wishes: Wishes) -> Parts:
    """The same, to be trained in the way that is fastest here; finding out is training time."""
    with clock.during("train"):
        found = settle(config, parts.device, parts.model, parts.batches, wishes.is_stopping)
    if found.device == parts.device:
        return replace(parts, gain=found.gain)
    probes = make_probes(config, parts.text, found.device, wishes.is_stopping)
    return replace(parts, device=found.device, gain=found.gain, probes=probes)


def provenance_of(parts: Parts, config: RunConfig) -> dict[str, Any]:
    """What run.toml says of where a run comes from."""
    return {
        "corpus_sha256": parts.text.corpus_sha256,
        "n_params": count(parts.model),
        **environment(parts.device),
        **({} if parts.gain is None else {GAIN: parts.gain}),
        **({COMPILED: True} if parts.device.is_compiled else {}),
        **floor_facts(config.text, parts.text),
    }


def count(model: nn.Module) -> int:
    """Its parameters."""
    return sum(p.numel() for p in model.parameters())
