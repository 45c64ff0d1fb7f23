"""Fresh weights: the one function that draws them.

Matrices are normal with the standard deviation that keeps the variance of their input,
1/sqrt(fan_in); those that write into the residual stream are divided by sqrt(2 n_layers),
so that the stream's variance does not grow with depth (Radford et al. 2019, GPT-2, §2.3).
Embeddings and the head are small, so that the first predictions are nearly uniform; those of
pairs and triples of tokens are zero, and all else has the same numbers with them and without.

With `zero_init` what writes into the stream and a head of its own are zero instead: each block
begins as the identity, the first predictions are uniform, and all else has the same numbers
(arXiv:1901.09321 §3 for the blocks; github.com/KellerJordan/modded-nanogpt for both).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from core.model.transformer import Transformer

EMBEDDING_STD = 0.02


def init_weights(model: Transformer, *, seed: int) -> None:
    """Overwrite every parameter. The result depends on the config and the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    is_zero = model.config.zero_init
    into_stream = 0.0 if is_zero else 1 / math.sqrt(2 * model.config.n_layers)
    for name, module in model.named_modules():
        if name.startswith("ngrams."):
            nn.init.zeros_(module.weight)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=EMBEDDING_STD, generator=generator)
        elif isinstance(module, nn.Linear) and name != "head":
            scale = into_stream if name.endswith(("o_proj", "down_proj")) else 1.0
            std = scale / math.sqrt(module.in_features)
            nn.init.normal_(module.weight, std=std, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    if not model.config.tied_head:
        std = 0.0 if is_zero else EMBEDDING_STD
        nn.init.normal_(model.head.weight, std=std, generator=generator)
    if isinstance(model.position_table, nn.Parameter):
        nn.init.normal_(model.position_table, std=EMBEDDING_STD, generator=generator)
