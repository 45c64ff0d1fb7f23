"""What we write against llama.cpp's own reading of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.model.transformer import Transformer
from core.text.tokenizer import BpeTokenizer, train_bpe
from tests.interop.exportable import EXPORTABLE, lively_model

pytest.importorskip("llama_cpp")

from tests.interop.served import (
    agreement,
    greedy,
    mean_kld,
    our_logits,
    their_logits,
    written,
)

TEXT = Path(__file__).parents[2].joinpath("ARCHITECTURE.md").read_text(encoding="utf-8")
N_GREEDY = 256
CLOSE = 5e-4
"""Logits of the same function, both in f32, at a standard deviation of 2 to 4. Held against
float64, llama.cpp is off by up to 3e-4, because it multiplies up the angles of rope; we by 4e-5."""
CLOSE_BY_TABLE = 0.03
"""llama.cpp's GELU on processors is a table over half precision."""


@pytest.fixture(scope="module")
def tokenizer() -> BpeTokenizer:
    return train_bpe(TEXT, 300)


@pytest.fixture(scope="module")
def trained(tokenizer: BpeTokenizer) -> Transformer:
    """Quick's switches, taught for a moment: it is surer than a random model."""
    torch.set_num_threads(1)
    model = Transformer(
        lively_model(activation="relu2", qk_norm=True, vocab_size=tokenizer.vocab_size).config
    )
    ids = torch.from_numpy(tokenizer.encode(TEXT))[: -(len(TEXT) // 8)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        starts = torch.randint(len(ids) - 65, (8,), generator=generator)
        rows = torch.stack([ids[s : s + 65] for s in starts])
        loss = torch.nn.functional.cross_entropy(
            model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize("name", EXPORTABLE)
def test_llama_cpp_computes_what_we_compute(
    name: str, tokenizer: BpeTokenizer, tmp_path: Path
) -> None:
    architecture, switches = EXPORTABLE[name]
    model = lively_model(vocab_size=tokenizer.vocab_size, **switches)
    path = tmp_path / "model.gguf"
    assert written(model, tokenizer, path)[0] == architecture
    generator = torch.Generator().manual_seed(0)
    prompt = torch.randint(model.config.vocab_size, (280,), generator=generator).tolist()
    ids = greedy(model, prompt, N_GREEDY)
    ours, theirs = our_logits(model, ids), their_logits(path, ids)
    assert len(ids) >= 512
    is_by_table = switches["activation"] == "gelu_tanh"
    close = CLOSE_BY_TABLE if is_by_table else CLOSE
    assert abs(ours - theirs).max() < close
    path_taken = slice(len(prompt) - 1, len(ids) - 1)
    n_other, n_ties = agreement(
        ours[path_taken], theirs[path_taken], close if is_by_table else 1e-4
    )
    assert n_other == 0
    assert n_ties < (32 if is_by_table else 4)


def test_token_by_token_with_its_cache_too(
    trained: Transformer, tokenizer: BpeTokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    assert written(trained, tokenizer, path)[0] == "apertus"
    ids = greedy(trained, tokenizer.encode("The ").tolist(), N_GREEDY)
    ours, theirs = our_logits(trained, ids), their_logits(path, ids, n_at_once=1)
    assert abs(ours - theirs).max() < CLOSE
    assert agreement(ours, theirs)[0] == 0


@pytest.mark.parametrize(("number_type", "most"), [("f16", 1e-5), ("q8_0", 1e-3), ("q4_0", 0.05)])
def test_fewer_bits_change_little(
    number_type: str, most: float, trained: Transformer, tokenizer: BpeTokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    written(trained, tokenizer, path, number_type)
    ids = tokenizer.encode(TEXT[-(len(TEXT) // 8) :]).tolist()[:512]
    kld = mean_kld(our_logits(trained, ids), their_logits(path, ids))
    assert 0 < kld < most
