"""How near llama.cpp comes to us, by architecture and type of numbers.

    python tests/benchmarks/gguf_quality.py                    # trains a small model of each kind
    python tests/benchmarks/gguf_quality.py --only quick --steps 600 --vocab 4096
    python tests/benchmarks/gguf_quality.py --run RUN          # one that is there already

Each model is written as f32, f16, q8_0 and q4_0, and read by llama.cpp with its cache in f32
and flash attention off. Printed are the bytes of the file; the largest difference of a logit
over the held-out text; the greedy tokens, out of 256 after a prompt of held-out text, that are
the same, llama.cpp being led along our path; how many of them were near ties (our two best logits
within 1e-4); and the mean Kullback-Leibler divergence of its predictions from ours, in nats.

Without --run the text is Python's language reference, its last tenth held out, and all models
have 3 layers, are 128 wide and learn with the same rate and batches.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from core.openmp import tame_openmp

tame_openmp()

import numpy as np  # noqa: E402
import torch  # noqa: E402

from core.config import ModelConfig  # noqa: E402
from core.interop.gguf.number_types import WRITTEN  # noqa: E402
from core.model.transformer import Transformer  # noqa: E402
from core.open_run import open_for_use  # noqa: E402
from core.store.stages import never  # noqa: E402
from core.testing import result_of  # noqa: E402
from core.text.tokenizer import Tokenizer, train_bpe  # noqa: E402
from tests.interop.exportable import EXPORTABLE  # noqa: E402
from tests.interop.served import (  # noqa: E402
    NEAR,
    agreement,
    greedy,
    mean_kld,
    our_logits,
    their_logits,
    written,
)

CONTEXT, WINDOWS, N_GREEDY = 512, 4, 256
TRAINED_CONTEXT, BATCH_SIZE, LR = 128, 8, 3e-3
ROW = "{:34} {:10} {:5} {:>10} {:>9} {:>8} {:>5} {:>10}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--run", help="measure this run")
    parser.add_argument("--only", help="kinds whose names hold this")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--vocab", type=int, default=512)
    chosen = parser.parse_args(arguments)
    torch.manual_seed(0)
    print(ROW.format("model", "as", "type", "bytes", "largest", "greedy", "ties", "mean KLD"))
    if chosen.run:
        found = open_for_use(chosen.run, device="cpu", dtype="float32", threads=0)
        held_out = result_of(found.held_out_ids(CONTEXT, never))
        measure(found.run.name, found.model.eval(), found.tokenizer, held_out or [])
        return
    text = python_docs()
    tokenizer = train_bpe(text, chosen.vocab)
    ids = tokenizer.encode(text)
    n = len(ids) * 9 // 10
    for name, (_, switches) in EXPORTABLE.items():
        if not chosen.only or chosen.only in name:
            model = trained(tokenizer.vocab_size, torch.from_numpy(ids[:n]), chosen.steps, switches)
            measure(name, model, tokenizer, ids[n:].tolist())


def python_docs() -> str:
    """A text that is there wherever Python is."""
    from pydoc_data import topics

    return "\n".join(topics.topics.values())


def trained(
    vocab_size: int, ids: torch.Tensor, steps: int, switches: dict[str, Any]
) -> Transformer:
    """A small model that has learnt for a while, longer windows too, so that all positions
    count."""
    wide = {"d_head": 2 * switches["d_head"]} if "d_head" in switches else {}
    shape = {"max_seq_len": CONTEXT, "d_model": 128, "n_layers": 3, "n_heads": 4}
    model = Transformer(ModelConfig(vocab_size=vocab_size, **(shape | switches | wide)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, betas=(0.9, 0.95))
    for step in range(steps):
        is_long = step % 8 == 7
        length, n_rows = (CONTEXT, 2) if is_long else (TRAINED_CONTEXT, BATCH_SIZE)
        starts = torch.randint(len(ids) - length - 1, (n_rows,))
        rows = torch.stack([ids[s : s + length + 1] for s in starts])
        logits = model(rows[:, :-1]).flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(logits, rows[:, 1:].flatten())
        for group in optimizer.param_groups:
            group["lr"] = LR * min(1.0, (step + 1) / 20, 2 * (1 - step / steps))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


def measure(name: str, model: Transformer, tokenizer: Tokenizer, held_out: list[int]) -> None:
    """One line a type of numbers."""
    context = min(CONTEXT, model.config.max_seq_len)
    starts = range(0, min(len(held_out) - context + 1, WINDOWS * context), context)
    windows = [held_out[start : start + context] for start in starts]
    n_prompt = max(1, context - N_GREEDY)
    path_taken = greedy(model, held_out[:n_prompt], context - n_prompt)
    ours = [our_logits(model, window) for window in (path_taken, *windows)]
    for number_type in WRITTEN:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.gguf"
            architecture, _ = written(model, tokenizer, path, number_type)
            theirs = [their_logits(path, window) for window in (path_taken, *windows)]
            n_bytes = path.stat().st_size
        steps = slice(n_prompt - 1, context - 1)
        n_other, n_ties = agreement(ours[0][steps], theirs[0][steps], NEAR)
        n = context - n_prompt
        largest = max(np.abs(a - b).max() for a, b in zip(ours, theirs, strict=True))
        kld = np.mean([mean_kld(a, b) for a, b in zip(ours[1:], theirs[1:], strict=True)])
        same = f"{n - n_other}/{n}"
        values = (f"{n_bytes:,}", f"{largest:.1e}", same, n_ties, f"{kld:.2e}")
        print(ROW.format(name, architecture, number_type, *values), flush=True)


if __name__ == "__main__":
    main()
