"""Shape and switches of the model."""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.errors import ConfigError
from core.fields import at_least, check_types, in_choices, setting

POSITIONS = ("rope", "sinusoidal", "learned", "none")
NORMS = ("layernorm", "rmsnorm")
NORM_PLACES = ("pre", "post")
ACTIVATIONS = ("relu", "gelu", "gelu_tanh", "relu2", "swiglu")
ROPE_SCALINGS = ("none", "linear", "llama3")
MOST_HEADS = 1024
"""That a hint proposes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Shape and switches of a decoder-only transformer."""

    vocab_size: int = setting(
        0, "number of token ids; taken from the tokenizer", unit="tokens", is_flag=False
    )
    max_seq_len: int = setting(256, "longest context the model can hold", unit="tokens")
    d_model: int = setting(128, "width of the residual stream")
    n_layers: int = setting(4, "number of blocks")
    n_heads: int = setting(4, "query heads in a block")
    n_kv_heads: int = setting(0, "key and value heads in a block; 0 means n_heads")
    d_head: int = setting(0, "width of one head; 0 means d_model / n_heads")
    d_ff: int = setting(0, "width of the feed-forward; 0 means 4 d_model (8/3 for swiglu)")
    positions: str = setting("rope", "how a token knows its place", choices=POSITIONS)
    rope_theta: float = setting(10_000.0, "slowest wavelength of rope, over 2 pi")
    rope_dims: int = setting(0, "numbers at the start of a head that rope turns; 0 is all")
    rope_scaling: str = setting(
        "none", "how rope was stretched to a longer context", choices=ROPE_SCALINGS
    )
    rope_factor: float = setting(1.0, "how far rope was stretched")
    rope_original_len: int = setting(0, "context before rope was stretched (llama3)", unit="tokens")
    norm: str = setting("layernorm", "normalisation", choices=NORMS)
    norm_place: str = setting("pre", "normalise before or after each part", choices=NORM_PLACES)
    norm_eps: float = setting(1e-5, "added to the variance in norms")
    parallel: bool = setting(False, "attention and feed-forward side by side, not in turns")
    activation: str = setting("relu", "feed-forward non-linearity", choices=ACTIVATIONS)
    qk_norm: bool = setting(False, "normalise queries and keys of each head")
    tied_head: bool = setting(False, "share the embedding with the output head")
    ngram_buckets: int = setting(0, "vectors for pairs, and for triples, of tokens; 0 is off")
    bias: bool = setting(False, "biases in linear layers and norms")
    logit_softcap: float = setting(0.0, "squash logits into ± this value; 0 is off")
    zero_init: bool = setting(False, "begin with projections into the stream and head at zero")
    dropout: float = setting(0.0, "share of activations zeroed while training")

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, 1, "max_seq_len", "d_model", "n_layers", "n_heads")
        at_least(self, 0, "vocab_size", "n_kv_heads", "d_head", "d_ff", "logit_softcap")
        at_least(self, 0, "rope_dims", "rope_original_len", "ngram_buckets")
        in_choices(self)
        if self.rope_theta <= 1:
            raise ConfigError(
                f"rope_theta={self.rope_theta:g} is not above 1.", hint="The usual value is 10000."
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(
                f"dropout={self.dropout:g} is not in [0, 1).", hint="Try dropout=0.1."
            )
        if self.norm_eps <= 0:
            raise ConfigError(
                f"norm_eps={self.norm_eps:g} is not above 0.", hint="The usual value is 1e-05."
            )
        if self.parallel and self.norm_place == "post":
            raise ConfigError(
                "parallel=true needs norms before each part, and norm_place=post.",
                hint="Try norm_place=pre.",
            )
        self._check_heads()
        self._check_rope()

    def _check_rope(self) -> None:
        if self.rope_dims % 2 or self.rope_dims > self.head_dim:
            raise ConfigError(
                f"rope_dims={self.rope_dims} is not an even number up to the head width"
                f" {self.head_dim}.",
                hint="0 turns all of a head.",
            )
        if self.rope_factor < 1:
            raise ConfigError(
                f"rope_factor={self.rope_factor:g} is below 1.", hint="1 does not stretch rope."
            )
        if self.rope_scaling == "llama3" and not self.rope_original_len:
            raise ConfigError(
                "rope_scaling=llama3 needs the context before it was stretched.",
                hint="Set rope_original_len, as in rope_original_len=8192.",
            )

    def _check_heads(self) -> None:
        if not self.d_head and self.d_model % self.n_heads:
            raise ConfigError(
                f"d_model={self.d_model} does not divide into n_heads={self.n_heads}.",
                hint=self._way_to_divide(),
            )
        if self.n_heads % self.kv_heads:
            raise ConfigError(
                f"n_heads={self.n_heads} is not a multiple of n_kv_heads={self.kv_heads}.",
                hint=f"Try n_kv_heads={', '.join(map(str, _divisors(self.n_heads)))}.",
            )
        if self.positions == "rope" and self.head_dim % 2:
            raise ConfigError(
                f"rope turns pairs, and the head width {self.head_dim} is odd.",
                hint=f"Try d_head={2 * self.head_dim} or positions=learned."
                if self.d_head
                else f"Try d_model={2 * self.d_model} or positions=learned.",
            )

    def _way_to_divide(self) -> str:
        """Widths and numbers of heads nearby that are possible, also for rope's pairs."""
        part = 2 if self.positions == "rope" else 1
        unit = self.n_heads * part
        below = unit * (self.d_model // unit)
        widths = " or ".join(str(d) for d in (below, below + unit) if d)
        heads = [n for n in _divisors(self.d_model) if self.d_model // n % part == 0]
        nearest = min(heads, key=lambda n: abs(n - self.n_heads), default=None)
        return f"Try d_model={widths}" + (f", or n_heads={nearest}." if nearest else ".")

    @property
    def head_dim(self) -> int:
        """Width of one head, the default resolved."""
        return self.d_head or self.d_model // self.n_heads

    @property
    def kv_heads(self) -> int:
        """Key and value heads, the default resolved."""
        return self.n_kv_heads or self.n_heads

    @property
    def hidden_dim(self) -> int:
        """Width of the feed-forward, the default resolved (SwiGLU: arXiv:2002.05202 §2)."""
        if self.d_ff:
            return self.d_ff
        if self.activation == "swiglu":
            return 8 * math.ceil(8 * self.d_model / 3 / 8)
        return 4 * self.d_model


def _divisors(n: int) -> list[int]:
    """The small ones: whoever writes 10**18 waits for no hint."""
    return [d for d in range(1, min(n, MOST_HEADS) + 1) if n % d == 0]
