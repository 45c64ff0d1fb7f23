"""Every setting of minitf, as frozen dataclasses.

One definition serves the library, the command line, the form on the screen and the TOML
file: each field carries its help, its unit and its choices. Values are checked where the
config is made, so a config that exists can be used.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.errors import ConfigError, did_you_mean
from core.fields import at_least, check_types, default, flag_fields, in_choices, setting

POSITIONS = ("rope", "sinusoidal", "learned", "none")
NORMS = ("layernorm", "rmsnorm")
NORM_PLACES = ("pre", "post")
ACTIVATIONS = ("relu", "gelu", "relu2", "swiglu")
TOKENIZERS = ("bpe", "byte", "char")
SCHEDULES = ("cosine", "constant")
DEVICES = ("auto", "cpu", "cuda", "mps")
DTYPES = ("auto", "float32", "bfloat16")
BUDGETS = {"steps": 0, "seconds": 0.0, "epochs": 0.0}
"""The limits of a run, each off; the nearest one that is on ends it."""
MIN_BPE_VOCAB = 260
MAX_SEED = 2**63 - 1


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
    d_ff: int = setting(0, "width of the feed-forward; 0 means 4 d_model (8/3 for swiglu)")
    positions: str = setting("rope", "how a token knows its place", choices=POSITIONS)
    rope_theta: float = setting(10_000.0, "slowest wavelength of rope, over 2 pi")
    norm: str = setting("layernorm", "normalisation", choices=NORMS)
    norm_place: str = setting("pre", "normalise before or after each part", choices=NORM_PLACES)
    activation: str = setting("relu", "feed-forward non-linearity", choices=ACTIVATIONS)
    qk_norm: bool = setting(False, "normalise queries and keys of each head")
    tied_head: bool = setting(False, "share the embedding with the output head")
    bias: bool = setting(False, "biases in linear layers and norms")
    logit_softcap: float = setting(0.0, "squash logits into ± this value; 0 is off")
    dropout: float = setting(0.0, "share of activations zeroed while training")

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, 1, "max_seq_len", "d_model", "n_layers", "n_heads")
        at_least(self, 0, "vocab_size", "n_kv_heads", "d_ff", "logit_softcap")
        in_choices(self)
        if self.rope_theta <= 1:
            raise ConfigError(
                f"rope_theta={self.rope_theta:g} is not above 1.", hint="The usual value is 10000."
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(
                f"dropout={self.dropout:g} is not in [0, 1).", hint="Try dropout=0.1."
            )
        self._check_heads()

    def _check_heads(self) -> None:
        if self.d_model % self.n_heads:
            below = self.n_heads * (self.d_model // self.n_heads)
            near = " or ".join(str(d) for d in (below, below + self.n_heads) if d)
            raise ConfigError(
                f"d_model={self.d_model} does not divide into n_heads={self.n_heads}.",
                hint=f"Try d_model={near}.",
            )
        if self.n_heads % self.kv_heads:
            raise ConfigError(
                f"n_heads={self.n_heads} is not a multiple of n_kv_heads={self.kv_heads}.",
                hint=f"Try n_kv_heads={', '.join(map(str, _divisors(self.n_heads)))}.",
            )
        if self.positions == "rope" and self.head_dim % 2:
            raise ConfigError(
                f"rope turns pairs, and the head width {self.head_dim} is odd.",
                hint=f"Try d_model={2 * self.d_model} or positions=learned.",
            )

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.d_model // self.n_heads

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


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """What is read, and how it becomes tokens."""

    corpus: str = setting("python-docs", "python-docs, or the path of a UTF-8 text file")
    tokenizer: str = setting("bpe", "how text becomes tokens", choices=TOKENIZERS)
    vocab_size: int = setting(1024, "token ids of a bpe tokenizer, 260 or more", unit="tokens")
    validation_fraction: float = setting(0.1, "share of the text held out, from its end")
    max_tokens: int = setting(
        0, "keep only the first tokens, and split those; 0 keeps all", unit="tokens"
    )

    def __post_init__(self) -> None:
        check_types(self)
        in_choices(self)
        at_least(self, 0, "max_tokens")
        if not self.corpus:
            raise ConfigError("The corpus has no name.", hint="Name a text file, or python-docs.")
        if self.tokenizer == "bpe" and self.vocab_size < MIN_BPE_VOCAB:
            raise ConfigError(
                f"vocab_size={self.vocab_size} is below {MIN_BPE_VOCAB}, the least for bpe.",
                hint="Try vocab_size=1024, or tokenizer=byte.",
            )
        if not 0 < self.validation_fraction < 1:
            raise ConfigError(
                f"validation_fraction={self.validation_fraction:g} is not between 0 and 1.",
                hint="The usual value is 0.1.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How the weights are found."""

    context: int = setting(128, "tokens in a row of a batch", unit="tokens")
    batch_size: int = setting(16, "rows in a batch")
    steps: int = setting(0, "budget of optimiser steps; 0 is no limit", unit="steps")
    seconds: float = setting(0.0, "budget of pure training time; 0 is no limit", unit="s")
    epochs: float = setting(0.0, "budget of passes over the training text; 0 is no limit")
    lr: float = setting(1e-3, "highest learning rate")
    min_lr: float = setting(0.1, "learning rate at the end, as a share of lr (cosine)")
    warmup_steps: int = setting(10, "steps over which the learning rate rises", unit="steps")
    schedule: str = setting("cosine", "course of the learning rate", choices=SCHEDULES)
    weight_decay: float = setting(0.1, "AdamW decay of matrices")
    beta1: float = setting(0.9, "AdamW decay of the mean gradient")
    beta2: float = setting(0.95, "AdamW decay of the squared gradient")
    grad_clip: float = setting(1.0, "largest gradient norm; 0 is off")
    seed: int = setting(0, "seed of weights, batches and dropout")
    checkpoint_interval: int = setting(
        250, "steps between checkpoints; 0 is ends only", unit="steps"
    )
    device: str = setting("auto", "where tensors live", choices=DEVICES)
    dtype: str = setting("auto", "number type of matrix products", choices=DTYPES)
    threads: int = setting(0, "CPU threads; 0 is one a core, at most 8", unit="threads")

    def __post_init__(self) -> None:
        check_types(self)
        in_choices(self)
        at_least(self, 1, "context", "batch_size")
        at_least(self, 0, *BUDGETS, "warmup_steps", "weight_decay", "grad_clip")
        at_least(self, 0, "seed", "checkpoint_interval", "threads")
        if self.seed > MAX_SEED:
            raise ConfigError(f"seed={self.seed} is above {MAX_SEED}.", hint="Try a smaller seed.")
        if not any(getattr(self, name) for name in BUDGETS):
            raise ConfigError(
                "The run has no end: steps=0, seconds=0 and epochs=0.",
                hint="Give steps, seconds or epochs; the nearest ends the run.",
            )
        if self.lr <= 0:
            raise ConfigError(f"lr={self.lr:g} is not above 0.", hint="Try lr=0.001.")
        for name in ("beta1", "beta2", "min_lr"):
            value = getattr(self, name)
            if not 0 <= value < 1 and not (name == "min_lr" and value == 1):
                raise ConfigError(
                    f"{name}={value:g} is not in [0, 1).",
                    hint=f"The usual value is {default(self, name):g}.",
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalConfig:
    """What is measured while training."""

    eval_interval: int = setting(100, "steps between validations; 0 is at the end", unit="steps")
    sample_interval: int = setting(100, "steps between text samples; 0 is at the end", unit="steps")
    sample_tokens: int = setting(96, "length of a text sample", unit="tokens")
    sample_prompt: str = setting("", "start of a text sample; empty takes held-out text")
    stride: int = setting(0, "tokens between two windows; 0 is the context", unit="tokens")

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, 0, "eval_interval", "sample_interval", "sample_tokens", "stride")


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    """How the next token is chosen. Rules apply in this order, over the full vocabulary."""

    prompt: str = setting("", "text to continue; empty takes held-out text")
    max_new_tokens: int = setting(200, "tokens to generate", unit="tokens")
    temperature: float = setting(0.8, "0 is greedy; 1 is the model's own distribution")
    top_k: int = setting(0, "keep the k most likely tokens; 0 is off", unit="tokens")
    top_p: float = setting(1.0, "keep the fewest tokens that sum to p; 1 is off")
    min_p: float = setting(0.0, "drop tokens below this share of the best one; 0 is off")
    seed: int = setting(0, "seed of the dice")
    cache: bool = setting(True, "keep keys and values of earlier tokens")

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, 1, "max_new_tokens")
        at_least(self, 0, "temperature", "top_k", "seed")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p={self.top_p:g} is not in (0, 1].", hint="Try top_p=0.9.")
        if not 0 <= self.min_p <= 1:
            raise ConfigError(f"min_p={self.min_p:g} is not in [0, 1].", hint="Try min_p=0.05.")
        if self.seed > MAX_SEED:
            raise ConfigError(f"seed={self.seed} is above {MAX_SEED}.", hint="Try a smaller seed.")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchConfig:
    """How the KV cache is timed."""

    n: int = setting(512, "tokens generated in a repetition", unit="tokens")
    reps: int = setting(3, "counted repetitions of each cell")
    warmup: int = setting(1, "repetitions before, not counted")
    prompt_tokens: int = setting(16, "held-out tokens read before the first new one", unit="tokens")

    def __post_init__(self) -> None:
        check_types(self)
        at_least(self, 2, "n")
        at_least(self, 1, "reps", "prompt_tokens")
        at_least(self, 0, "warmup")


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
        if self.eval.stride > self.train.context:
            raise ConfigError(
                f"stride={self.eval.stride} is longer than context={self.train.context}: "
                "tokens would be left out.",
                hint=f"Try stride={self.train.context}.",
            )

    def with_changes(self, **changes: Any) -> RunConfig:
        """The same run with some fields replaced, named as on the command line.

        A new budget replaces the old one: `steps=200` also lifts limits in seconds and epochs. A
        longer `context` alone makes the model hold it.

        Raises:
            ConfigError: a name is unknown or a value impossible.
        """
        changes = _with_one_budget(changes)
        context = changes.get("context")
        if type(context) is int and context > self.model.max_seq_len:
            changes.setdefault("max_seq_len", context)
        sections: dict[str, dict[str, Any]] = {}
        owners = {about.name: section for section, about in flag_fields(self)}
        for name, value in changes.items():
            if name not in owners:
                raise ConfigError(f"There is no setting {name!r}.", hint=did_you_mean(name, owners))
            sections.setdefault(owners[name], {})[name] = value
        return self._replaced(sections)

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
        for section, values in tables.items():
            known = {f.name for f in dataclasses.fields(base)}
            if section not in known or not isinstance(values, Mapping):
                raise ConfigError(
                    f"The config has no table [{section}].", hint=did_you_mean(section, known)
                )
            names = {f.name for f in dataclasses.fields(getattr(base, section))}
            for name in values:
                if name not in names:
                    raise ConfigError(
                        f"The table [{section}] has no field {name!r}.",
                        hint=did_you_mean(name, names),
                    )
        return base._replaced(tables)


def _with_one_budget(changes: Mapping[str, Any]) -> dict[str, Any]:
    """A budget that is given lifts those that are not."""
    if any(changes.get(name) for name in BUDGETS):
        return {**BUDGETS, **changes}
    return dict(changes)


def read_toml(text: str, base: RunConfig | None = None, *, source: str = "config") -> RunConfig:
    """Parse a config file.

    Raises:
        ConfigError: not TOML, or not a config.
    """
    import tomllib

    try:
        tables = tomllib.loads(text)
    except ValueError as error:
        raise ConfigError(
            f"{source} is not valid TOML: {error}.",
            hint="The tables are [model], [text], [train] and [eval].",
        ) from error
    return RunConfig.from_dict(tables, base)


def write_toml(config: RunConfig) -> str:
    """The config as TOML text; `read_toml` gives it back."""
    import tomli_w

    return tomli_w.dumps(config.to_dict())


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]
