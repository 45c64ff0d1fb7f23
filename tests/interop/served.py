"""A model as llama.cpp computes it: with a cache in f32, and no word on the screen."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import torch
from numpy.typing import NDArray

from core.interop.equivalents import Portable
from core.interop.gguf.writer import write_gguf
from core.model.transformer import Transformer
from core.testing import result_of
from core.text.tokenizer import Tokenizer

F32 = 0
"""ggml's number for it."""
NEAR = 1e-4
"""Two logits closer than this may change places by rounding."""


@llama_cpp.llama_log_callback
def _silent(level: int, text: bytes, data: Any) -> None: ...


llama_cpp.llama_log_set(_silent, ctypes.c_void_p(0))


@contextmanager
def _loaded(path: Path, n_positions: int) -> Iterator[tuple[Any, Any]]:
    model = llama_cpp.llama_model_load_from_file(
        str(path).encode(), llama_cpp.llama_model_default_params()
    )
    assert model, f"llama.cpp cannot load {path}"
    options = llama_cpp.llama_context_default_params()
    options.n_ctx = options.n_batch = options.n_ubatch = max(512, n_positions)
    options.n_threads = options.n_threads_batch = 1
    options.type_k = options.type_v = F32
    options.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
    context = llama_cpp.llama_init_from_model(model, options)
    assert context, f"llama.cpp has no context for {path}"
    try:
        yield model, context
    finally:
        llama_cpp.llama_free(context)
        llama_cpp.llama_model_free(model)


def their_logits(path: Path, ids: Sequence[int], *, n_at_once: int = 0) -> NDArray[np.float32]:
    """Logits after each token, shape (n, vocabulary).

    Args:
        n_at_once: how many tokens they are given in one call; 0 gives all of them.
    """
    with _loaded(path, len(ids)) as (model, context):
        vocab_size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        step = n_at_once or len(ids)
        parts = []
        for start in range(0, len(ids), step):
            some = ids[start : start + step]
            batch = llama_cpp.llama_batch_init(len(some), 0, 1)
            batch.n_tokens = len(some)
            for i, token in enumerate(some):
                batch.token[i], batch.pos[i] = token, start + i
                batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = 1, 0, 1
            assert llama_cpp.llama_decode(context, batch) == 0
            logits = llama_cpp.llama_get_logits(context)
            parts.append(np.ctypeslib.as_array(logits, (len(some), vocab_size)).copy())
            llama_cpp.llama_batch_free(batch)
    return np.concatenate(parts)


@torch.no_grad()
def our_logits(model: Transformer, ids: Sequence[int]) -> NDArray[np.float32]:
    """The same from us, in one pass."""
    logits: NDArray[np.float32] = model(torch.tensor([list(ids)]))[0].numpy()
    return logits


@torch.no_grad()
def greedy(model: Transformer, prompt: Sequence[int], n: int) -> list[int]:
    """The prompt and the n likeliest tokens after it."""
    from core.model.kv_cache import KVCache

    cache = KVCache(model.config, batch_size=1)
    ids = list(prompt)
    new = ids
    for _ in range(n):
        logits = model(torch.tensor([new]), cache, last_only=True)
        new = [int(logits[0, -1].argmax())]
        ids += new
    return ids


def written(
    model: Transformer, tokenizer: Tokenizer, path: Path, number_type: str = "f32"
) -> tuple[str, tuple[str, ...]]:
    """Write a model; architecture and remarks."""
    weights = {name: p.detach() for name, p in model.named_parameters()}
    portable = Portable(model.config, weights)
    about = result_of(write_gguf(portable, tokenizer, path, "a model", number_type, lambda: False))
    return about.architecture, about.remarks


def agreement(
    ours: NDArray[np.float32], theirs: NDArray[np.float32], near: float = NEAR
) -> tuple[int, int]:
    """Positions where both choose another token, near ties counted apart; and those ties."""
    best = np.sort(ours, axis=-1)
    is_tie = best[:, -1] - best[:, -2] < near
    is_other = ours.argmax(-1) != theirs.argmax(-1)
    return int((is_other & ~is_tie).sum()), int(is_tie.sum())


def mean_kld(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """Kullback-Leibler divergence of their predictions from ours, nats a position."""
    p, q = (torch.from_numpy(x).double().log_softmax(-1) for x in (ours, theirs))
    return float((p.exp() * (p - q)).sum(-1).mean())
