"""A foreign model becomes a run: checked tensor by tensor, then written whole or not at all.

The weights are held once, as they are written; one tensor more is read at a time.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
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
    tokenizer = load_tokenizer(
        model.tokenizer_json, vocab_size=model.config.vocab_size, end_ids=model.end_ids
    )
    text = yield from read_corpus(corpus, is_stopping)
    work = _read(model, expected_shapes(model))
    weights = yield from telling(f"reading the weights of {model.stem}", work, is_stopping)
    provenance = {
        "corpus_sha256": text.sha256,
        "n_params": sum(tensor.numel() for tensor in weights.values()),
        **environment(device),
        "imported_from": model.source,
        "architecture": model.architecture,
        "end_ids": list(model.end_ids),
        HASH: fingerprint(weights),
    }
    return create_run(
        name,
        _config(model, tokenizer, text.name),
        provenance,
        model.tokenizer_json,
        partial(write_start, weights=weights),
        stem=model.stem,
    )


def expected_shapes(model: ForeignModel) -> dict[str, tuple[int, ...]]:
    """Shape of each parameter of our model, by name; takes no memory."""
    with torch.device("meta"):
        ours = Transformer(model.config, seed=None)
    return {name: tuple(p.shape) for name, p in ours.named_parameters()}


def _read(
    model: ForeignModel, shapes: Mapping[str, tuple[int, ...]]
) -> Generator[float, None, dict[str, Tensor]]:
    _check_names(model, shapes)
    weights: dict[str, Tensor] = {}
    for n, (name, shape) in enumerate(shapes.items(), 1):
        tensor = model.tensors[name]()
        if tuple(tensor.shape) != shape:
            raise FormatError(
                f"{model.source}: {name} has the shape {tuple(tensor.shape)}, not {shape}.",
                hint="The file is damaged, or its configuration is of another model.",
            )
        weights[name] = tensor.to(torch.float32).contiguous()
        if not torch.isfinite(weights[name]).all():
            raise FormatError(
                f"{model.source}: {name} holds a number that is not finite.",
                hint="Its training diverged, or the file is damaged.",
            )
        yield n / len(shapes)
    return weights


def _check_names(model: ForeignModel, shapes: Mapping[str, tuple[int, ...]]) -> None:
    missing, extra = shapes.keys() - model.tensors.keys(), model.tensors.keys() - shapes.keys()
    if missing:
        raise FormatError(
            f"{model.source} lacks a tensor: {min(missing)}.",
            hint="Fetch the file again, with all of its parts.",
        )
    if extra:
        raise FormatError(
            f"{model.source} holds a tensor that minitf does not know: {min(extra)}.",
            hint="Its architecture has parts that minitf lacks.",
        )


def _config(model: ForeignModel, tokenizer: Tokenizer, corpus: str) -> RunConfig:
    vocab_size = max(MIN_BPE_VOCAB, tokenizer.vocab_size)
    kind = "bpe" if tokenizer.kind == "imported" else tokenizer.kind
    return RunConfig(
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
