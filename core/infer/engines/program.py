"""From a model to the programs that compute its decode step.

All that depends on the architecture is here: which operations follow each other, and where
threads must wait. What a thread reads of another's work stands after a barrier; norms and
embeddings are computed by every thread for itself, which is cheaper than to wait for one.

Invariant: buffers named by `_own` belong to one thread; of all others a thread writes its share
of the rows, and two barriers lie between a write and the next write of the same rows that
somebody else reads in between.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from core.infer.engines import operations
from core.infer.engines import words as op
from core.infer.engines.buffers import Buffers, cache_layout
from core.infer.engines.packed_layout import BLOCK, LaidOut, lay_out
from core.model.attention import CausalSelfAttention
from core.model.feed_forward import FeedForward, GatedFeedForward
from core.model.ngrams import N_EARLIER, PRIME, SHIFT, NgramEmbedding
from core.model.packed import PackedMatrix
from core.model.transformer import Block, Transformer

ACTIVATIONS = {
    "relu": operations.RELU,
    "gelu": operations.GELU,
    "gelu_tanh": operations.GELU_TANH,
    "relu2": operations.RELU2,
    "swiglu": operations.SWIGLU,
}


def programs(model: Transformer, buffers: Buffers, n_workers: int) -> list[NDArray[np.int64]]:
    """The program of each worker. The weights' addresses are in it: the model's parameters,
    float32 on the CPU, must live as long and stay where they are."""
    return [_Builder(model, buffers, worker, n_workers).build() for worker in range(n_workers)]


class _Builder:
    """Writes one worker's program."""

    def __init__(self, model: Transformer, buffers: Buffers, worker: int, n_workers: int) -> None:
        self._model, self._config, self._buffers = model, model.config, buffers
        self._worker, self._n_workers = worker, n_workers
        self._words: list[int] = []
        self._layout = cache_layout(model.config)
        self._packed = laid_out(model)
        self._rounded: tuple[int, int, int] | None = None
        """The vector that was rounded last, and how."""
        is_whole = not model.packed or model.config.head_dim % BLOCK == 0
        self._has_own_heads = model.config.kv_heads % n_workers == 0 and is_whole
        """Whoever computes the rows of a head also attends with it, and waits for nobody."""

    def build(self) -> NDArray[np.int64]:
        """All records, one after another."""
        model, config = self._model, self._config
        source = self._own("embedded")
        places = 0 if model.position_table is None else _address(model.position_table)
        self._add(op.EMBED, source, _address(model.embedding.weight), places, config.d_model)
        if model.ngrams is not None:
            self._add_ngrams(source, model.ngrams)
        for i, block in enumerate(model.blocks):
            assert isinstance(block, Block)
            source = self._block(i, block, source)
        self._add(op.ASKED)
        if config.norm_place == "pre":
            source = self._norm("normed", model.final_norm, source)
        logits = self._at("logits")
        first, end = self._multiply(logits, model.head, source)
        if config.logit_softcap:
            self._add(op.CAP, logits, first, end, _bits(config.logit_softcap))
        # Who has no row names the first: the choice is among all.
        self._add(op.LARGEST, logits, *((first, end) if first < end else (0, 1)))
        self._barrier()
        self._add(op.CHOOSE, logits)
        return np.array(self._words, np.int64)

    def _add_ngrams(self, x: int, ngrams: NgramEmbedding) -> None:
        config = self._config
        tables = (_address(ngrams.pairs.weight), _address(ngrams.triples.weight))
        hashing = (_address(ngrams.factors_NL), PRIME, SHIFT, config.ngram_buckets)
        held = (self._layout.row, N_EARLIER + config.max_seq_len)
        self._add(op.NGRAMS, x, *tables, config.d_model, *hashing, *held)

    def _block(self, i: int, block: Block, source: int) -> int:
        """Where the stream is after it."""
        attention, feed_forward = block.attention, block.feed_forward
        assert isinstance(feed_forward, FeedForward | GatedFeedForward)
        stream = self._at("stream")
        if block.is_parallel:
            self._attend(i, attention, self._norm("normed", block.attention_norm, source))
            self._widen(feed_forward, self._norm("normed_too", block.feed_forward_norm, source))
            self._barrier()
            self._into_stream(attention.o_proj, "attended", source)
            self._into_stream(feed_forward.down_proj, "hidden", stream)
        else:
            is_pre = block.is_pre_norm
            normed = self._norm("normed", block.attention_norm, source) if is_pre else source
            self._attend(i, attention, normed)
            self._barrier()
            self._into_stream(attention.o_proj, "attended", source)
            self._barrier()
            norm = block.feed_forward_norm if is_pre else block.attention_norm
            normed = self._norm("normed", norm, stream)
            self._widen(feed_forward, normed)
            self._barrier()
            self._into_stream(feed_forward.down_proj, "hidden", stream if is_pre else normed)
        self._barrier()
        if block.is_pre_norm:
            return stream
        return self._norm("embedded", block.feed_forward_norm, stream)

    def _attend(self, i: int, attention: CausalSelfAttention, x: int) -> None:
        config, head_dim = self._config, self._config.head_dim
        q, k, v = self._at("q"), self._at("k"), self._at("v")
        group = config.n_heads // config.kv_heads
        unit = head_dim if self._has_own_heads else BLOCK
        self._multiply(q, attention.q_proj, x, unit * group)
        self._multiply(k, attention.k_proj, x, unit)
        self._multiply(v, attention.v_proj, x, unit)
        if not self._has_own_heads:
            self._barrier()
        q_heads, kv_heads = self._share(config.n_heads, 1), self._share(config.kv_heads, 1)
        self._rotate(q, q_heads, attention.q_norm)
        self._rotate(k, kv_heads, attention.k_norm)
        head, layer = 4 * self._layout.head, 4 * self._layout.layer * i
        held = (head_dim, layer, layer, head, head)
        self._add(op.HOLD, k, v, *kv_heads, *held)
        if not self._has_own_heads:
            self._barrier()
        scores = self._own("scores")
        self._add(op.ATTEND, self._at("attended"), q, *q_heads, *held, group, scores)

    def _rotate(self, x: int, heads: tuple[int, int], norm: nn.RMSNorm | None) -> None:
        rope, weight, eps = self._model.rope, 0, 0
        if norm is not None:
            weight, eps = _address(norm.weight), _bits(norm.eps or 0.0)
        if rope is not None:
            angles = (_address(rope.cos_SR), _address(rope.sin_SR), rope.cos_SR.size(1))
            self._add(op.ROTATE, x, *heads, self._config.head_dim, weight, eps, *angles)
        elif weight:
            self._add(op.ROTATE, x, *heads, self._config.head_dim, weight, eps, 0, 0, 0)

    def _widen(self, feed_forward: FeedForward | GatedFeedForward, x: int) -> None:
        kind = ACTIVATIONS[self._config.activation]
        gate, up = self._at("gate"), self._at("up")
        share = self._multiply(up, feed_forward.up_proj, x)
        if isinstance(feed_forward, GatedFeedForward):
            self._multiply(gate, feed_forward.gate_proj, x)
        else:
            gate = up
        self._add(op.ACTIVATE, self._at("hidden"), kind, gate, up, *share)

    def _into_stream(self, linear: nn.Linear, x: str, source: int) -> None:
        """The stream is `source` and a product."""
        mixed = self._at("mixed")
        first, end = self._multiply(mixed, linear, self._at(x))
        self._add(op.ADD, self._at("stream"), source, mixed, first, end, 1)

    def _multiply(self, y: int, linear: nn.Linear, x: int, unit: int = BLOCK) -> tuple[int, int]:
        """This worker's rows of a linear layer."""
        rows, cols = linear.weight.shape
        first, end = self._share(rows, unit)
        matrix = self._packed.get(id(linear.weight))
        if matrix is None:
            w = _address(linear.weight)
            self._add(op.PRODUCT, op.F32, y, w, 0, 0, x, 0, 0, first, end, cols, 0)
        else:
            kind, group = (op.Q8 if matrix.bits == 8 else op.Q4), matrix.group_size
            xq, xs = self._own("rounded"), self._own("round_scales")
            how = (x, kind, group if kind == op.Q4 else 0)
            if self._rounded != how:
                self._add(op.ROUND, x, kind, xq, xs, cols, group)
                self._rounded = how
            place = (y, *matrix.addresses, x, xq, xs)
            self._add(op.PRODUCT, kind, *place, first, end, matrix.cols, group)
        if linear.bias is not None:
            self._add(op.ADD, y, y, _address(linear.bias), first, end, 0)
        return first, end

    def _norm(self, name: str, norm: nn.Module, x: int) -> int:
        """Into a buffer of this worker's own, whose address is returned."""
        to, d_model = self._own(name), self._config.d_model
        if isinstance(norm, nn.RMSNorm):
            weight, eps = _address(norm.weight), norm.eps or 0.0
            self._add(op.RMS_NORM, to, x, weight, 0, d_model, _bits(eps))
        else:
            assert isinstance(norm, nn.LayerNorm)
            bias = 0 if norm.bias is None else _address(norm.bias)
            self._add(op.LAYER_NORM, to, x, _address(norm.weight), bias, d_model, _bits(norm.eps))
        return to

    def _barrier(self) -> None:
        if self._n_workers > 1:
            self._add(op.BARRIER)

    def _add(self, *words: int) -> None:
        if words[0] not in (op.PRODUCT, op.ADD):
            self._rounded = None  # what it was made of may change
        self._words += [*words, *[0] * (op.WORDS - len(words))]

    def _share(self, n: int, unit: int) -> tuple[int, int]:
        """First and end of this worker's part of `n`, in whole units."""
        n_units = math.ceil(n / unit)
        bounds = (n_units * i // self._n_workers for i in (self._worker, self._worker + 1))
        first, end = (min(n, unit * bound) for bound in bounds)
        return first, end

    def _at(self, name: str) -> int:
        return self._buffers.address(name)

    def _own(self, name: str) -> int:
        return self._buffers.address(f"{name}{self._worker}")


_laid_out: WeakKeyDictionary[Transformer, dict[int, tuple[PackedMatrix, LaidOut]]]
_laid_out = WeakKeyDictionary()


def laid_out(model: Transformer) -> dict[int, LaidOut]:
    """The model's packed matrices that are multiplied, in their kernels' order, by the identity
    of the parameter that each stands for. Engines of a model share them."""
    kept = _laid_out.setdefault(model, {})
    multiplied = {id(part.weight) for part in model.modules() if isinstance(part, nn.Linear)}
    for name, weight in model.named_parameters():
        matrix = model.packed.get(name)
        if matrix is None or id(weight) not in multiplied:
            kept.pop(id(weight), None)
        elif id(weight) not in kept or kept[id(weight)][0] is not matrix:
            kept[id(weight)] = matrix, lay_out(matrix)
    return {key: matrix for key, (_, matrix) in kept.items()}


def parameters_of(model: Transformer) -> Iterable[Tensor]:
    """All tensors that programs read in place."""
    yield from model.parameters()
    yield from model.buffers()


def _address(tensor: Tensor) -> int:
    return tensor.data_ptr()


def _bits(x: float) -> int:
    """A float64 in the place of an int64."""
    return int(struct.unpack("<q", struct.pack("<d", x))[0])
