"""Keys and values of the tokens seen so far, of all layers, in one of several kinds.

The kinds, each a subclass of `LayerCache`: "static" holds every position as it is, "int8" rounded;
"window" the newest ones, "sinks" a few first ones too. Only the first gives what the model gives
without a cache; what the others cost in loss is measured by core/measure/evaluate.py.

Invariant: all layers hold the same positions; only key/value heads are stored, however many query
heads share one. The tokens themselves are held where the model looks at pairs and triples of
them: of all positions, in every kind, so these are always exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core.config import ModelConfig
from core.device import Device
from core.errors import ConfigError, did_you_mean
from core.model.int8_cache import Int8Layer
from core.model.layer_cache import LayerCache, StaticLayer
from core.model.ngrams import HeldIds
from core.model.windowed_cache import WindowedLayer

KINDS = ("static", "window", "sinks", "int8")


def make_cache(
    config: ModelConfig, device: Device, kind: str, *, window: int, sinks: int, batch_size: int = 1
) -> KVCache | None:
    """An empty cache for what runs on `device`; None for the kind "none".

    Raises:
        ConfigError: there is no such kind, or no such window.
    """
    if kind == "none":
        return None
    return KVCache(
        config,
        kind=kind,
        window=window,
        sinks=sinks,
        batch_size=batch_size,
        device=device.type,
        dtype=torch.bfloat16 if device.dtype == "bfloat16" else torch.float32,
    )


class KVCache:
    """One `LayerCache` a block, all of the same length."""

    def __init__(
        self,
        config: ModelConfig,
        *,
        kind: str = "static",
        window: int = 0,
        sinks: int = 0,
        batch_size: int = 1,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Nothing is held yet.

        Args:
            window: newest positions that "window" and "sinks" keep, at least 1.
            sinks: first positions that "sinks" keeps beside them.
            dtype: of the numbers held, but for "int8".

        Raises:
            ConfigError: there is no such kind, or no such window.
        """
        _check(kind, window, sinks)
        shape = (batch_size, config.kv_heads, config.max_seq_len, config.head_dim)

        def layer() -> LayerCache:
            if kind == "static":
                return StaticLayer(*shape, device=device, dtype=dtype)
            if kind == "int8":
                return Int8Layer(*shape, device=device)
            kept = sinks if kind == "sinks" else 0
            return WindowedLayer(*shape, window=window, sinks=kept, device=device, dtype=dtype)

        self.layers: Sequence[LayerCache] = [layer() for _ in range(config.n_layers)]
        is_asked = config.ngram_buckets > 0
        self.ids = HeldIds(batch_size, config.max_seq_len, device) if is_asked else None
        """Of the tokens, for models that look at pairs and triples of them."""

    @property
    def length(self) -> int:
        """Positions seen; the next token's position."""
        return self.layers[0].length

    def positions(self, n_new: int) -> slice | Tensor:
        """Of the next `n_new` tokens: where their rows lie in a table of all positions."""
        return slice(self.length, self.length + n_new)

    def extend_ids(self, ids_BT: Tensor) -> Tensor:
        """The next tokens and the ones before them; see `HeldIds`. Before the layers are extended,
        and only for models that look at them."""
        assert self.ids is not None
        return self.ids.extend(ids_BT, self.length)

    def rewind(self, length: int) -> None:
        """Forget all positions from `length` on, in every layer. A windowed cache that has let go
        of what position `length` looks at forgets everything: ask `length`.

        Raises:
            ConfigError: there are not so many.
        """
        for layer in self.layers:
            layer.rewind(length)

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows of the batch in every layer; one may be taken more than once."""
        for layer in self.layers:
            layer.select(rows)
        if self.ids is not None:
            self.ids.select(list(rows))

    @property
    def held_bytes(self) -> int:
        """Bytes of the places in use, over all layers: `arithmetic.cache_bytes`."""
        ids = 0 if self.ids is None else self.ids.n_bytes(self.length)
        return ids + sum(layer.held_bytes for layer in self.layers)

    @property
    def allocated_bytes(self) -> int:
        """Bytes of all places, over all layers: those of max_seq_len positions."""
        ids = 0 if self.ids is None else self.ids.n_bytes(self.ids.n_places)
        return ids + sum(layer.allocated_bytes for layer in self.layers)


def _check(kind: str, window: int, sinks: int) -> None:
    if kind not in KINDS:
        raise ConfigError(
            f"cache={kind!r} is not one of {', '.join(KINDS)}.", hint=did_you_mean(kind, KINDS)
        )
    if kind in ("window", "sinks") and (window < 1 or sinks < 0):
        raise ConfigError(
            f"A cache with window={window} and sinks={sinks} holds nothing to look at.",
            hint="Try window=256, sinks=4.",
        )
