"""Models for the tests of folders of transformers: lively ones of ours, written and read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.config import ModelConfig
from core.interop.equivalents import Portable
from core.interop.foreign import ForeignModel, Written
from core.interop.huggingface.reader import read_hf
from core.interop.huggingface.writer import write_hf
from core.model.transformer import Transformer
from core.store.stages import never
from core.testing import result_of
from core.text.tokenizer import ByteTokenizer, Tokenizer

transformers = pytest.importorskip("transformers")
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

POSITIONS, VOCAB = 640, 300
ATOL = 1e-4


def config_of(**changes: Any) -> ModelConfig:
    """Two layers, 32 wide, room for 512 tokens and some more."""
    fields = {"vocab_size": VOCAB, "max_seq_len": POSITIONS, "d_model": 32, "n_layers": 2}
    return ModelConfig(**(fields | {"n_heads": 4} | changes))


@torch.no_grad()
def lively(config: ModelConfig, seed: int = 0) -> Transformer:
    """With weights far from where they begin: nothing is zero or one, logits differ widely."""
    model = Transformer(config, seed=seed).eval()
    noise = torch.Generator().manual_seed(seed + 1)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            parameter.add_(torch.randn(parameter.shape, generator=noise) * 0.2)
        elif "blocks" not in name:
            parameter.mul_(25)
    return model


def portable(model: Transformer) -> Portable:
    return Portable(model.config, {name: p.detach() for name, p in model.named_parameters()})


def written(model: Transformer, folder: Path, tokenizer: Tokenizer | None = None) -> Written:
    work = write_hf(portable(model), tokenizer or ByteTokenizer(), folder, never)
    return result_of(work)


@torch.no_grad()
def read(folder: Path, max_seq_len: int = 0) -> tuple[Transformer, ForeignModel]:
    """Ours, of a folder, checked as on arrival: all there, nothing left over."""
    found = read_hf(folder, "the folder", max_seq_len)
    model = Transformer(found.config, seed=None).eval()
    own = dict(model.named_parameters())
    assert own.keys() == found.tensors.keys()
    for name, parameter in own.items():
        tensor = found.tensors[name]()
        assert tensor.shape == parameter.shape
        parameter.copy_(tensor)
    return model, found


def theirs(folder: Path) -> Any:
    """What transformers makes of a folder; all that it looked for is there."""
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True, dtype=torch.float32
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model.eval()


def some_ids(n: int, vocab_size: int = VOCAB) -> Tensor:
    return torch.randint(0, vocab_size, (1, n), generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def difference(ours: Transformer, other: Any, n: int = 512) -> float:
    """The largest, over `n` positions and all tokens."""
    ids = some_ids(n, ours.config.vocab_size)
    return (ours(ids) - other(ids).logits).abs().max().item()


def same_files(one: Path, other: Path) -> None:
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
