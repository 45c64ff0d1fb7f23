"""The GPT-2-like switches against PyTorch's own layers: the same function, and the same steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.config import EvalConfig, ModelConfig, TrainConfig
from core.events import StepCompleted
from core.model.transformer import Transformer
from core.testing import CPU
from core.text.batches import RandomBatches
from core.training.optimizer import make_optimizer
from core.training.trainer import Probes, Trainer

VOCAB, CONTEXT, WIDTH, LAYERS, HEADS, STEPS = 65, 32, 48, 3, 4, 10
IDS = np.random.default_rng(0).integers(0, VOCAB, 3000)


class Plain(nn.Module):
    """GPT-2's shape from `nn.TransformerEncoderLayer`, which knows nothing of ours."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCAB, WIDTH)
        self.positions = nn.Parameter(torch.empty(CONTEXT, WIDTH))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                WIDTH,
                HEADS,
                dim_feedforward=4 * WIDTH,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
                bias=bias,
            )
            for _ in range(LAYERS)
        )
        self.norm = nn.LayerNorm(WIDTH, bias=bias)

    def forward(self, ids: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(ids.size(1))
        x = self.tokens(ids) + self.positions[: ids.size(1)]
        for layer in self.layers:
            x = layer(x, src_mask=mask, is_causal=True)
        return F.linear(self.norm(x), self.tokens.weight)


def ours(bias: bool) -> Transformer:
    return Transformer(
        ModelConfig(
            vocab_size=VOCAB,
            max_seq_len=CONTEXT,
            d_model=WIDTH,
            n_layers=LAYERS,
            n_heads=HEADS,
            positions="learned",
            activation="gelu",
            tied_head=True,
            bias=bias,
        ),
        seed=3,
    )


@torch.no_grad()
def copied(model: Transformer, bias: bool) -> Plain:
    plain = Plain(bias)

    def copy(target: Any, source: Any) -> None:
        target.weight.copy_(source.weight)
        if bias:
            target.bias.copy_(source.bias)

    plain.tokens.weight.copy_(model.embedding.weight)
    plain.positions.copy_(model.position_table)
    copy(plain.norm, model.final_norm)
    for layer, block in zip(plain.layers, model.blocks, strict=True):
        attention, feed_forward = block.attention, block.feed_forward
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        layer.self_attn.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
        if bias:
            layer.self_attn.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
        copy(layer.self_attn.out_proj, attention.o_proj)
        copy(layer.linear1, feed_forward.up_proj)
        copy(layer.linear2, feed_forward.down_proj)
        copy(layer.norm1, block.attention_norm)
        copy(layer.norm2, block.feed_forward_norm)
    return plain.train()


@pytest.mark.parametrize("bias", [False, True])
def test_from_copied_weights_the_logits_agree(bias: bool) -> None:
    model = ours(bias)
    ids = torch.from_numpy(IDS[: 2 * CONTEXT]).view(2, CONTEXT)
    torch.testing.assert_close(model(ids), copied(model, bias)(ids), atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("bias", [False, True])
def test_from_copied_weights_the_first_ten_losses_agree(bias: bool) -> None:
    """AdamW with decay of matrices alone, clipping at 1, the table of positions among them."""
    model = ours(bias)
    plain = copied(model, bias)
    config = TrainConfig(
        context=CONTEXT, batch_size=4, steps=STEPS, lr=1e-3, beta2=0.99, warmup_steps=0
    )
    batches = RandomBatches(IDS, batch_size=4, context=CONTEXT, seed=0)
    trainer = Trainer(
        model,
        make_optimizer(model, config),
        batches,
        Probes(evaluate=lambda _: None, sample=lambda _: None),
        config,
        EvalConfig(eval_interval=0, sample_interval=0),
        device=CPU,
    )
    matrices = [p for p in plain.parameters() if p.dim() >= 2]
    vectors = [p for p in plain.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        betas=(0.9, 0.99),
    )
    compared = 0
    for event in trainer.run():
        if not isinstance(event, StepCompleted):
            continue
        inputs, targets = (torch.from_numpy(rows.copy()) for rows in batches.at(event.step))
        loss = F.cross_entropy(plain(inputs).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = event.lr
        optimizer.step()
        assert event.loss == pytest.approx(loss.item(), abs=2e-5)
        assert event.grad_norm == pytest.approx(norm.item(), rel=1e-3)
        compared += 1
    assert compared == STEPS
