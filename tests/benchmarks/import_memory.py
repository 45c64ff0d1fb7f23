"""How much memory the import of a model takes, beside what PyTorch itself takes.

    python tests/benchmarks/import_memory.py

Makes a folder of transformers with random weights: a Llama of 134 million parameters, as
float32 and as bfloat16. Each is imported by a process of its own, of which a thread reads the
anonymous memory (`RssAnon` of /proc/self/status, hence Linux) every millisecond: pages of
files that are only mapped can be dropped at any time and do not count. From the peak goes
what a process has that has imported the same modules and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

LAYERS, WIDTH, HIDDEN, HEADS, VOCAB, CONTEXT = 12, 768, 2048, 12, 32_000, 2048
TARGET = 1.3
SAMPLED_EVERY_S = 0.001


def main() -> int:
    """Measure, print, and say by the exit code whether the target was met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--layers", type=int, default=LAYERS)
    arguments = parser.parse_args()
    if arguments.inside is not None:
        _inside(arguments.inside)
        return 0
    is_met = True
    with tempfile.TemporaryDirectory() as place:
        text = Path(place, "text.txt")
        text.write_text("The river runs to the sea.\n" * 2000)
        baseline = _measured("", text)["peak"]
        print(f"after the imports: {baseline / 1e6:.0f} MB")
        for dtype in ("float32", "bfloat16"):
            folder = Path(place, dtype)
            _make(folder, dtype, arguments.layers)
            found = _measured(str(folder), text)
            share = (found["peak"] - baseline) / found["bytes"]
            is_met &= share <= TARGET
            print(
                f"{dtype}: {found['params'] / 1e6:.1f} M parameters, {found['bytes'] / 1e6:.0f} MB"
                f" written in {found['seconds']:.1f} s, peak {found['peak'] / 1e6:.0f} MB:"
                f" {share:.2f} times what was written (target {TARGET})"
            )
    return 0 if is_met else 1


def _measured(folder: str, text: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as home:
        words = [sys.executable, __file__, "--inside", json.dumps([folder, str(text)])]
        done = subprocess.run(
            words,
            env=os.environ | {"MINITF_HOME": home},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _inside(given: str) -> None:
    from core import arrivals, recipes
    from core.interop import arrival
    from core.text import imported_tokenizer

    assert all((arrivals, arrival, imported_tokenizer))
    folder, text = json.loads(given)
    peak, is_over = [_anonymous()], threading.Event()

    def watch() -> None:
        while not is_over.wait(SAMPLED_EVERY_S):
            peak[0] = max(peak[0], _anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    found = {"params": 0, "bytes": 0}
    if folder:
        *_, last = recipes.importing(folder, name="it", corpus=text).run()
        found = {"params": last.result.n_params, "bytes": last.result.bytes}
    seconds = time.perf_counter() - began
    is_over.set()
    watcher.join()
    print(json.dumps(found | {"peak": peak[0], "seconds": seconds}))


def _anonymous() -> int:
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - it is quicker
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) * 1024


def _make(folder: Path, dtype: str, layers: int) -> None:
    import torch
    from safetensors.torch import save_file

    from core.interop.sentencepiece import from_scores

    folder.mkdir()
    torch.manual_seed(0)
    tensors = {
        name: (torch.randn(shape) * 0.02).to(getattr(torch, dtype))
        for name, shape in _shapes(layers)
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": WIDTH,
        "intermediate_size": HIDDEN,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5,
        "vocab_size": VOCAB,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "torch_dtype": dtype,
    }
    (folder / "config.json").write_text(json.dumps(config))
    pieces = list(_pieces())
    scores = [-float(i) for i in range(len(pieces))]
    text = from_scores(pieces, scores, begin_id=1, control_ids=(0, 1, 2))
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")


def _shapes(layers: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "model.embed_tokens.weight", (VOCAB, WIDTH)
    for i in range(layers):
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            yield f"model.layers.{i}.self_attn.{name}.weight", (WIDTH, WIDTH)
        for name, shape in (("gate", (HIDDEN, WIDTH)), ("up", (HIDDEN, WIDTH))):
            yield f"model.layers.{i}.mlp.{name}_proj.weight", shape
        yield f"model.layers.{i}.mlp.down_proj.weight", (WIDTH, HIDDEN)
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield f"model.layers.{i}.{name}.weight", (WIDTH,)
    yield "model.norm.weight", (WIDTH,)
    yield "lm_head.weight", (VOCAB, WIDTH)


def _pieces() -> Iterator[str]:
    """As many as there are ids: special ones, bytes, and made-up words of growing length."""
    yield from ("<unk>", "<s>", "</s>")
    yield from (f"<0x{b:02X}>" for b in range(256))
    letters = "etaoinshrdlucmfwypvbgkqjxz▁"
    found = list(letters)
    yield from found
    count, place = 3 + 256 + len(found), 0
    while True:
        for letter in letters:
            if count == VOCAB:
                return
            found.append(found[place] + letter)
            yield found[-1]
            count += 1
        place += 1


if __name__ == "__main__":
    sys.exit(main())
