"""Small stand-ins for anybody's tests: a model that costs nothing, a model that says what
it is told, a run in a folder of your own."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from core.config import EvalConfig, ModelConfig, RunConfig, TextConfig, TrainConfig
from core.device import Device
from core.model.kv_cache import KVCache
from core.model.transformer import Transformer
from core.text.tokenizer import ByteTokenizer

R = TypeVar("R")

CPU = Device("cpu", "float32", 1)

MODEL_SWITCHES: dict[str, dict[str, Any]] = {
    "default": {},
    "sinusoidal": {"positions": "sinusoidal"},
    "learned": {"positions": "learned"},
    "no positions": {"positions": "none"},
    "rmsnorm": {"norm": "rmsnorm"},
    "post-norm": {"norm_place": "post"},
    "gelu": {"activation": "gelu"},
    "relu2": {"activation": "relu2"},
    "swiglu": {"activation": "swiglu"},
    "gqa": {"n_kv_heads": 2},
    "mqa": {"n_kv_heads": 1},
    "qk-norm": {"qk_norm": True},
    "tied": {"tied_head": True},
    "bias": {"bias": True},
    "softcap": {"logit_softcap": 5.0},
    "n-grams": {"ngram_buckets": 37},
    "gelu_tanh": {"activation": "gelu_tanh"},
    "wide heads": {"d_head": 12},
    "part of rope": {"rope_dims": 4},
    "linear rope": {"rope_scaling": "linear", "rope_factor": 2.0},
    "llama3 rope": {"rope_scaling": "llama3", "rope_factor": 4.0, "rope_original_len": 12},
    "large epsilon": {"norm_eps": 0.1},
    "parallel": {"parallel": True, "bias": True},
    "llama": {"norm": "rmsnorm", "activation": "swiglu", "n_kv_heads": 2},
    "gpt2": {"positions": "learned", "activation": "gelu", "bias": True, "tied_head": True},
    "all at once": {
        "norm": "rmsnorm",
        "norm_place": "post",
        "activation": "swiglu",
        "n_kv_heads": 1,
        "qk_norm": True,
        "tied_head": True,
        "bias": True,
        "logit_softcap": 8.0,
        "ngram_buckets": 5,
    },
}
"""Every switch of the model turned alone, and some together; for `tiny_model_config`."""


def tiny_model_config(**changes: object) -> ModelConfig:
    """Two layers, 32 wide, 31 tokens, 24 positions."""
    fields = {"vocab_size": 31, "max_seq_len": 24, "d_model": 32, "n_layers": 2, "n_heads": 4}
    return ModelConfig(**(fields | changes))  # type: ignore[arg-type]


def tiny_model(seed: int = 0, **changes: object) -> Transformer:
    """A model of `tiny_model_config`, in evaluation mode, with weights large enough that its
    choices differ from token to token."""
    model = Transformer(tiny_model_config(**changes), seed=seed).eval()
    with torch.no_grad():
        model.embedding.weight.mul_(25)
        if model.ngrams is not None:
            dice = torch.Generator().manual_seed(seed)
            for table in model.ngrams.parameters():
                table.normal_(std=0.5, generator=dice)
    return model


def tiny_run_config(corpus: str, **changes: object) -> RunConfig:
    """A run of a few steps that takes a fraction of a second; reads bytes."""
    base = RunConfig(
        model=ModelConfig(max_seq_len=32, d_model=16, n_layers=1, n_heads=2),
        text=TextConfig(corpus=corpus, tokenizer="byte"),
        train=TrainConfig(context=16, batch_size=2, steps=4, checkpoint_interval=2, threads=1),
        eval=EvalConfig(eval_interval=2, sample_interval=4, sample_tokens=8),
    )
    return base.with_changes(**changes)


def result_of(work: Generator[Any, None, R]) -> R:
    """What a generator returns in the end, whatever it tells before."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def byte_tokenizer() -> ByteTokenizer:
    """The tokenizer that knows everything."""
    return ByteTokenizer()


class ScriptedModel(Transformer):
    """Always continues with the token after the newest one in `script`; for tests of what
    surrounds a model."""

    def __init__(self, script: Sequence[int], *, vocab_size: int, max_seq_len: int = 256) -> None:
        """Position p is followed by `script[p + 1]`, and after its end by its last token."""
        config = tiny_model_config(vocab_size=vocab_size, max_seq_len=max_seq_len)
        super().__init__(config)
        self._script = list(script)

    def forward(
        self, ids_BT: Tensor, cache: KVCache | None = None, *, last_only: bool = False
    ) -> Tensor:
        """Logits 10 for the next token of the script, 0 for all others."""
        logits_BTV = super().forward(ids_BT, cache)
        start = (cache.length if cache is not None else ids_BT.size(1)) - ids_BT.size(1)
        last = len(self._script) - 1
        following = [self._script[min(start + t + 1, last)] for t in range(ids_BT.size(1))]
        logits_BTV = torch.zeros_like(logits_BTV)
        logits_BTV[:, torch.arange(len(following)), following] = 10.0
        return logits_BTV[:, -1:] if last_only else logits_BTV
