"""The decoder-only transformer: embed, n blocks of attention and feed-forward, a head.

Read this first. Then attention.py, positions.py, feed_forward.py.

Shape suffixes, one letter per axis, in order:
    B batch · T new positions · D d_model · H head_dim · V vocab_size

Invariant: the logits at a position depend on the tokens up to it and on nothing else, and
are the same whether the sequence came in one call or in many with a cache.

Sources: arXiv:1706.03762 §3; pre-norm, arXiv:2002.04745; attention and feed-forward side by
side, arXiv:2204.06745 §2.1; tied head, arXiv:1608.05859;
logit soft-capping, arXiv:2408.00118 §2. Pairs and triples of tokens: ngrams.py.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.config import ModelConfig
from core.errors import ConfigError
from core.model.attention import CausalSelfAttention, Rotation
from core.model.feed_forward import make_feed_forward
from core.model.init import init_weights
from core.model.kv_cache import KVCache
from core.model.layer_cache import LayerCache
from core.model.ngrams import NgramEmbedding, from_beginning
from core.model.norm import make_norm
from core.model.packed import PackedMatrix
from core.model.positions import rope_tables, sinusoidal_table


class Block(nn.Module):
    """Attention, then feed-forward, or both at once, each added to the residual stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.is_pre_norm = config.norm_place == "pre"
        self.is_parallel = config.parallel
        self.attention_norm = make_norm(config)
        self.attention = CausalSelfAttention(config)
        self.feed_forward_norm = make_norm(config)
        self.feed_forward = make_feed_forward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, rotation: Rotation | None, cache: LayerCache | None) -> Tensor:
        """Shape (B, T, D)."""
        if self.is_pre_norm:
            mixed_BTD = self.attention(self.attention_norm(x_BTD), rotation, cache)
            if self.is_parallel:
                widened_BTD = self.feed_forward(self.feed_forward_norm(x_BTD))
                return x_BTD + self.dropout(mixed_BTD) + self.dropout(widened_BTD)
            x_BTD = x_BTD + self.dropout(mixed_BTD)
            return x_BTD + self.dropout(self.feed_forward(self.feed_forward_norm(x_BTD)))
        mixed_BTD = self.attention(x_BTD, rotation, cache)
        x_BTD = self.attention_norm(x_BTD + self.dropout(mixed_BTD))
        return self.feed_forward_norm(x_BTD + self.dropout(self.feed_forward(x_BTD)))


class Transformer(nn.Module):
    """Token ids in, logits of the next token out."""

    def __init__(self, config: ModelConfig, *, seed: int | None = 0) -> None:
        """Build with fresh weights that depend on `config` and `seed` alone; without a seed
        with any, for those who have weights.

        Raises:
            ConfigError: the config does not say how many token ids there are.
        """
        super().__init__()
        if not config.vocab_size:
            raise ConfigError("The model has no vocabulary.", hint="Set vocab_size.")
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.ngrams = NgramEmbedding(config) if config.ngram_buckets else None
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        # After post-norm blocks the stream is normalised already.
        self.final_norm = make_norm(config) if config.norm_place == "pre" else nn.Identity()
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tied_head:
            self.head.weight = self.embedding.weight
        self._make_positions(config)
        self.packed: dict[str, PackedMatrix] = {}
        """Of a quantised model, by parameter name: the matrices whose codes its weights stand
        for. Whoever changes weights drops them."""
        if seed is not None:
            init_weights(self, seed=seed)

    def forward(
        self, ids_BT: Tensor, cache: KVCache | None = None, *, last_only: bool = False
    ) -> Tensor:
        """Logits of the token after each of the T given ones.

        Args:
            ids_BT: int64 token ids; their positions follow those held by `cache`.
            cache: extended in place; None means that the sequence starts here.
            last_only: leave out the head's work for all positions but the last.

        Returns:
            Tensor of shape (B, T, V), or (B, 1, V).

        Raises:
            ConfigError: the sequence is longer than max_seq_len.
        """
        n_new = ids_BT.size(1)
        end = n_new if cache is None else cache.length + n_new
        if end > self.config.max_seq_len:
            raise ConfigError(
                f"{end} tokens do not fit into max_seq_len={self.config.max_seq_len}.",
                hint="Shorten the text, or train with a larger max_seq_len.",
            )
        positions = slice(0, n_new) if cache is None else cache.positions(n_new)
        x_BTD = self.embedding(ids_BT)
        if self.ngrams is not None:
            ids_BS = from_beginning(ids_BT) if cache is None else cache.extend_ids(ids_BT)
            x_BTD = x_BTD + self.ngrams(ids_BS)
        if self.position_table is not None:
            x_BTD = x_BTD + self.position_table[positions]
        x_BTD = self.dropout(x_BTD)
        rotation = None if self.rope is None else self.rope.rows(positions)
        for i, block in enumerate(self.blocks):
            x_BTD = block(x_BTD, rotation, None if cache is None else cache.layers[i])
        if last_only:
            x_BTD = x_BTD[:, -1:]
        logits_BTV = self.head(self.final_norm(x_BTD))
        if cap := self.config.logit_softcap:
            logits_BTV = cap * torch.tanh(logits_BTV / cap)
        return logits_BTV

    def _make_positions(self, config: ModelConfig) -> None:
        self.rope = RopeTable(config) if config.positions == "rope" else None
        self.position_table: Tensor | None = None
        if config.positions == "learned":
            self.position_table = nn.Parameter(torch.empty(config.max_seq_len, config.d_model))
        elif config.positions == "sinusoidal":
            table = sinusoidal_table(config.max_seq_len, config.d_model)
            del self.position_table
            self.register_buffer("position_table", table, persistent=False)


class RopeTable(nn.Module):
    """The rotation angles, on the model's device."""

    cos_SR: Tensor
    sin_SR: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        cos_SR, sin_SR = rope_tables(config)
        self.register_buffer("cos_SR", cos_SR, persistent=False)
        self.register_buffer("sin_SR", sin_SR, persistent=False)

    def rows(self, positions: slice | Tensor) -> Rotation:
        """Cosines and sines of these positions."""
        return self.cos_SR[positions], self.sin_SR[positions]
