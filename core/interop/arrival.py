"""A foreign model becomes a run: checked tensor by tensor, then written whole or not at all.

The weights are held once, as they are written; one tensor more is read at a time.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from core.config import EvalConfig, RunConfig, TextConfig, TrainConfig
from core.config.text import MIN_BPE_VOCAB
from core.device import Device, environment
from core.errors import FormatError
from core.interop.foreign import ForeignModel
from core.model.transformer import Transformer
from core.store.run import Run, create_run
from core.store.stages import IsStopping, Telling, telling
from core.store.start import HASH, fingerprint, write_start
from core.store.tokenizers import read_corpus
from core.text.tokenizer import Tokenizer, load_tokenizer

CONTEXT = 512
"""Longest window in which an imported model is scored and trained, unless somebody says more."""
STEPS, BATCH_SIZE, LR, WARMUP_STEPS = 1000, 4, 1e-4, 50
"""How it goes on training when nobody says otherwise: gently."""


def arrive(
    model: ForeignModel, name: str | None, corpus: str, device: Device, is_stopping: IsStopping
) -> Telling[Run]:
    """Make the run.

    Args:
        corpus: what its held-out text is taken from, and what it goes on learning from.

    Raises:
        FormatError: tensors are missing, left over, of another shape, or not finite.
        TokenizerError: the tokenizer cannot be used, or does not fit.
        MinitfError: the corpus or the name cannot be used. Nothing was written.
        Stopped: somebody asked for an end.
    """
    kind, config = _settings(model, corpus)
    text = yield from read_corpus(config.text.source, is_stopping)
    if config.text.source == corpus:  # its whole name, as a run keeps it
        config = replace(config, text=replace(config.text, corpus=text.name))
    work = _read(model, expected_shapes(model))
    weights = yield from telling(f"reading the weights of {model.stem}", work, is_stopping)
    provenance = {
        "corpus_sha256": text.sha256,
        "n_params": sum(tensor.numel() for tensor in weights.values()),
        **environment(device),
        "imported_from": model.source,
        "architecture": model.architecture,
        "tokenizer": kind,
        "end_ids": list(model.end_ids),
        HASH: fingerprint(weights),
    }
    fill = partial(write_start, weights=weights)
    return create_run(name, config, provenance, model.tokenizer_json, fill, stem=model.stem)


def expected_shapes(model: ForeignModel) -> dict[str, tuple[int, ...]]:
    """Shape of each parameter of our model, by name; takes no memory.

    Raises:
        FormatError: there is no such model.
    """
    last = f"blocks.{model.config.n_layers - 1}.attention.q_proj.weight"
    if last not in model.tensors:  # before a million blocks are made
        raise _lacks(model, last)
    try:
        with torch.device("meta"):
            ours = Transformer(model.config, seed=None)
    except (RuntimeError, TypeError, OverflowError) as error:
        raise FormatError(
            f"{model.source}: no model can have the shape that it tells.",
            hint="The file is damaged, or its configuration is of another model.",
        ) from error
    return {name: tuple(p.shape) for name, p in ours.named_parameters()}


def _read(
    model: ForeignModel, shapes: Mapping[str, tuple[int, ...]]
) -> Generator[float, None, dict[str, Tensor]]:
    _check_names(model, shapes)
    weights: dict[str, Tensor] = {}
    for n, (name, shape) in enumerate(shapes.items(), 1):
        weights[name] = _checked(model.tensors[name](), shape, f"{model.source}: {name}")
        yield n / len(shapes)
    return weights


def _checked(tensor: Tensor, shape: tuple[int, ...], title: str) -> Tensor:
    if tuple(tensor.shape) != shape:
        raise FormatError(
            f"{title} has the shape {tuple(tensor.shape)}, not {shape}.",
            hint="The file is damaged, or its configuration is of another model.",
        )
    if not tensor.is_floating_point():
        raise FormatError(
            f"{title} holds whole numbers.", hint="Import the model as it was before quantisation."
        )
    kept = tensor.to(torch.float32).contiguous()
    # A NaN is the least and the greatest; unlike isfinite this takes no memory.
    if not all(map(math.isfinite, torch.stack(kept.aminmax()).tolist())):
        raise FormatError(
            f"{title} holds a number that is not finite.",
            hint="Its training diverged, or the file is damaged.",
        )
    return kept


def _check_names(model: ForeignModel, shapes: Mapping[str, tuple[int, ...]]) -> None:
    missing, extra = shapes.keys() - model.tensors.keys(), model.tensors.keys() - shapes.keys()
    if missing:
        raise _lacks(model, min(missing))
    if extra:
        raise FormatError(
            f"{model.source} holds a tensor that minitf does not know: {min(extra)}.",
            hint="Its architecture has parts that minitf lacks.",
        )


def _lacks(model: ForeignModel, name: str) -> FormatError:
    return FormatError(
        f"{model.source} lacks a tensor: {name}.",
        hint="Fetch the file again, with all of its parts.",
    )


def _check_fits(model: ForeignModel, tokenizer: Tokenizer) -> None:
    n_ids = model.config.vocab_size
    if tokenizer.vocab_size != n_ids:
        raise FormatError(
            f"{model.source}: its tokenizer has {tokenizer.vocab_size} tokens, its model {n_ids}.",
            hint="They are not of one model.",
        )
    beyond = [i for i in model.end_ids if not 0 <= i < n_ids]
    if beyond:
        raise FormatError(
            f"{model.source}: its text ends with token {beyond[0]}, and it has {n_ids}.",
            hint="Its configuration is damaged, or of another model.",
        )


def _settings(model: ForeignModel, corpus: str) -> tuple[str, RunConfig]:
    """What kind its tokenizer is, which is not kept beside the weights, and a run's settings."""
    tokenizer = load_tokenizer(
        model.tokenizer_json, vocab_size=model.config.vocab_size, end_ids=model.end_ids
    )
    _check_fits(model, tokenizer)
    vocab_size = max(MIN_BPE_VOCAB, tokenizer.vocab_size)
    kind = "bpe" if tokenizer.kind == "imported" else tokenizer.kind
    return tokenizer.kind, RunConfig(
        model=model.config,
        text=TextConfig(corpus=corpus, tokenizer=kind, vocab_size=vocab_size),
        train=TrainConfig(
            context=min(CONTEXT, model.config.max_seq_len),
            batch_size=BATCH_SIZE,
            steps=STEPS,
            lr=LR,
            warmup_steps=WARMUP_STEPS,
        ),
        eval=EvalConfig(),
    )
