"""What each switch of the model is worth to the preset quick, alone, at equal processor time.

    python tests/benchmarks/architecture.py --text tinyshakespeare.txt --seeds 3

Every variant differs from `quick` in one thing. Its step is timed beside quick's, in turns, by
processor time on one thread; then it takes as many steps as quick takes `--steps` of in that
time, so that what is slower learns less long. All are scored on the whole held-out tenth, in
characters, stride = context. Seeds are paired: the same rows and, where the shapes are the same,
the same fresh weights. What minitf does not have (`extras`) is built here, and only here.

Sources: value embeddings, arXiv:2410.17897; learned scalars of the stream and of its beginning,
github.com/KellerJordan/modded-nanogpt; softcap, arXiv:2408.00118; averaged weights,
arXiv:2405.18392 §5; short rows first, arXiv:2108.06084.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

from core.openmp import tame_openmp

tame_openmp()

import torch  # noqa: E402
from learning import read  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from core.config import TrainConfig  # noqa: E402
from core.device import choose_device  # noqa: E402
from core.measure.evaluate import evaluate  # noqa: E402
from core.model.ngrams import from_beginning  # noqa: E402
from core.model.transformer import Transformer  # noqa: E402
from core.presets import preset  # noqa: E402
from core.store.tokens import TokenizedText  # noqa: E402
from core.text.batches import Ids, make_batches  # noqa: E402
from core.training.optimizer import make_optimizer  # noqa: E402
from core.training.schedule import learning_rate  # noqa: E402
from core.training.step import compute_gradients  # noqa: E402

ROUNDS = 12
"""Of timing a step beside quick's."""
NGRAMS = {"ngram_buckets": 2560}
"""With so many vectors in either table quick stays below a million parameters."""
Shape = tuple[int, int]
"""Rows and context of a batch."""
QUICK: Shape = (8, 128)


@dataclass(frozen=True)
class Variant:
    """One difference from quick."""

    model: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    extras: tuple[str, ...] = ()
    course: tuple[tuple[float, Shape], ...] = ((math.inf, QUICK),)
    """Shapes of batches, each until a share of the time if that is at most 1, else a step."""
    average: float = 0.0
    """Decay of a moving average of the weights, which is then scored."""


VARIANTS = {
    "quick": Variant(),
    "no QK-norm": Variant(model={"qk_norm": False}),
    "ReLU² for SwiGLU": Variant(model={"activation": "relu2", "d_ff": 384}),
    "GELU for SwiGLU": Variant(model={"activation": "gelu_tanh", "d_ff": 384}),
    "ReLU for SwiGLU": Variant(model={"activation": "relu", "d_ff": 384}),
    "no zero-init": Variant(model={"zero_init": False}),
    "tied head": Variant(model={"tied_head": True}),
    "RMS norm": Variant(model={"norm": "rmsnorm"}),
    "4 key/value heads": Variant(model={"n_kv_heads": 4}),
    "softcap 15": Variant(model={"logit_softcap": 15.0}),
    "value embeddings": Variant(extras=("values",)),
    "scalars, x0": Variant(extras=("scalars",)),
    "n-gram embeddings": Variant(model=NGRAMS),
    "batch warm-up": Variant(course=((0.3, (4, 128)), (0.7, QUICK), (1.0, (16, 128)))),
    "context warm-up": Variant(course=((0.25, (32, 32)), (0.6, (16, 64)), (1.0, QUICK))),
    "context warm-up, 300 steps": Variant(
        course=((100, (32, 32)), (300, (16, 64)), (math.inf, QUICK))
    ),
    "averaged weights": Variant(average=0.98),
    "averaged, rate ends at 0.2": Variant(average=0.98, train={"min_lr": 0.2}),
    "AdamW for Muon": Variant(train={"optimizer": "adamw", "matrix_lr": 3e-3}),
}
TOGETHER = Variant(model=NGRAMS, extras=("values", "scalars"))


class Extended(Transformer):
    """A Transformer with parts that minitf does not have."""

    def __init__(self, *args: Any, extras: tuple[str, ...], **named: Any) -> None:
        super().__init__(*args, **named)
        self.scalars, self.value_embeddings = nn.ParameterList(), nn.ModuleList()
        if "scalars" in extras:
            self.scalars.extend(torch.tensor([1.0, 0.0]) for _ in self.blocks)
        if "values" in extras:
            size = self.config.kv_heads * self.config.head_dim
            self.value_embeddings.extend(
                nn.Embedding(self.config.vocab_size, size) for _ in self.blocks
            )
            for table, block in zip(self.value_embeddings, self.blocks, strict=True):
                project = block.attention._project
                block.attention._project = partial(self._with_values, project, table)
        for table in self.value_embeddings:
            nn.init.zeros_(table.weight)

    def _with_values(self, project: Any, table: nn.Embedding, x_BTD: Tensor) -> Any:
        q, k, v = project(x_BTD)
        return q, k, v + table(self._ids_BT)

    def forward(self, ids_BT: Tensor, *_: Any, **__: Any) -> Tensor:
        """Shape (B, T, V); only without a cache."""
        self._ids_BT = ids_BT
        x_BTD = self.embedding(ids_BT)
        if self.ngrams is not None:
            x_BTD = x_BTD + self.ngrams(from_beginning(ids_BT))
        first_BTD = x_BTD
        rotation = self.rope.rows(slice(0, ids_BT.size(1))) if self.rope is not None else None
        for i, block in enumerate(self.blocks):
            if len(self.scalars):
                x_BTD = self.scalars[i][0] * x_BTD + self.scalars[i][1] * first_BTD
            x_BTD = block(x_BTD, rotation, None)
        logits_BTV: Tensor = self.head(self.final_norm(x_BTD))
        return logits_BTV


class Reshaped:
    """The rows of others, cut shorter; never longer ones."""

    def __init__(self, rows: Any, context: int) -> None:
        self._rows, self._context = rows, context

    def at(self, step: int, micro: int = 0) -> tuple[Ids, Ids]:
        """Shape (rows * their context / context, context)."""
        inputs, targets = self._rows.at(step, micro)
        return inputs.reshape(-1, self._context), targets.reshape(-1, self._context)


class Learner:
    """A model with its optimiser and its rows."""

    def __init__(self, variant: Variant, text: TokenizedText, seed: int) -> None:
        self.variant, self._text = variant, text
        quick = preset("quick")
        self._train: TrainConfig = replace(quick.train, seed=seed, **variant.train)
        model = replace(quick.model, vocab_size=text.tokenizer.vocab_size, **variant.model)
        make: Callable[..., Transformer] = Transformer
        if variant.extras:
            make = partial(Extended, extras=variant.extras)
        self.model = make(model, seed=seed)
        self._optimizer = make_optimizer(self.model, self._train)
        self._averaged = [p.detach().clone() for p in self.model.parameters()]
        self._device = choose_device("cpu", "float32", 1)
        self._rows = {shape: self._rows_of(*shape) for _, shape in variant.course}

    def _rows_of(self, n_rows: int, context: int) -> Reshaped:
        whole = replace(self._train, batch_size=n_rows * context // QUICK[1])
        return Reshaped(make_batches(self._text.train_ids, whole), context)

    def step(self, shape: Shape, step: int, progress: float) -> None:
        """One, at a share of the time."""
        compute_gradients(self.model, self._rows[shape], self._train, self._device, step)
        self._optimizer.step(learning_rate(self._train, step, progress))
        if decay := self.variant.average:
            weights = [p.detach() for p in self.model.parameters()]
            torch._foreach_lerp_(self._averaged, weights, 1 - min(decay, step / (step + 9)))

    @torch.no_grad()
    def loss(self) -> float:
        """Of the held-out tenth, nats a token."""
        if self.variant.average:
            for parameter, mean in zip(self.model.parameters(), self._averaged, strict=True):
                parameter.copy_(mean)
        held_out, tokenizer = self._text.validation_ids, self._text.tokenizer
        context = QUICK[1]
        *_, last = evaluate(
            self.model, tokenizer, held_out, context=context, stride=context, device=self._device
        )
        return float(last.result.loss if hasattr(last, "result") else last.loss)


def costs(variant: Variant, text: TokenizedText) -> dict[Shape, float]:
    """Of a step of each shape, over quick's: medians of pairs of processor times."""
    ours, base = Learner(variant, text, 0), Learner(VARIANTS["quick"], text, 0)
    found: dict[Shape, float] = {}
    for _, shape in variant.course:
        pairs = []
        for i in range(1, ROUNDS + 1):
            times = []
            for learner, mine in ((ours, shape), (base, QUICK)):
                began = time.process_time()
                learner.step(mine, 2 * i, 0.5)
                learner.step(mine, 2 * i + 1, 0.5)
                times.append(time.process_time() - began)
            pairs.append(times[0] / times[1])
        found[shape] = statistics.median(pairs)
    return found


def shape_at(variant: Variant, step: int, progress: float) -> Shape:
    """What the variant's course says."""
    for until, shape in variant.course:
        if (progress if until <= 1 else step) < until:
            return shape
    return variant.course[-1][1]


def learn(name: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """One cell: a variant with a seed, for the time of quick's steps."""
    torch.set_num_threads(1)
    variant, text = variant_of(name), read(options.text)
    ratios = {QUICK: 1.0} if name == "quick" else costs(variant, text)
    learner, taken, spent = Learner(variant, text, seed), 0, 0.0
    while spent < 1 - 1e-9:
        taken += 1
        shape = shape_at(variant, taken, spent)
        learner.step(shape, taken, spent)
        spent += ratios[shape] / options.steps
    parameters = sum(p.numel() for p in learner.model.parameters())
    cell = {"name": name, "seed": seed, "of": options.steps, "loss": learner.loss()}
    return cell | {"steps": taken, "parameters": parameters}


def variant_of(name: str) -> Variant:
    """By name; "together" is all extras at once, and "A + B" both differences."""
    if name == "together":
        return TOGETHER
    found = Variant()
    for part in (VARIANTS[part.strip()] for part in name.split(" + ")):
        found = Variant(
            model=found.model | part.model,
            train=found.train | part.train,
            extras=found.extras + part.extras,
            course=part.course if len(part.course) > 1 else found.course,
            average=part.average or found.average,
        )
    return found


def cells(options: argparse.Namespace, known: list[dict[str, Any]]) -> Iterator[tuple[str, int]]:
    """Those that are still to be learnt, seed by seed."""
    done = {(cell["name"], cell["seed"]) for cell in known}
    for seed in range(options.seeds):
        for name in options.only or [*VARIANTS, "together"]:
            if (name, seed) not in done:
                yield name, seed


def table(found: list[dict[str, Any]]) -> str:
    """Each variant: mean loss, and how far from quick's of the same seed."""
    base = {cell["seed"]: cell for cell in found if cell["name"] == "quick"}
    lines = [
        "variant                         loss     against quick             steps   parameters"
    ]
    for name in dict.fromkeys(cell["name"] for cell in found):
        mine = [cell for cell in found if cell["name"] == name and cell["seed"] in base]
        gains = [cell["loss"] - base[cell["seed"]]["loss"] for cell in mine]
        if gains:
            sd = statistics.stdev(gains) if len(gains) > 1 else float("nan")
            lines.append(
                f"{name:<30}  {statistics.fmean(cell['loss'] for cell in mine):.4f}   "
                f"{statistics.fmean(gains):+.4f} ± {sd:.4f} (n={len(gains)})   "
                f"{statistics.fmean(cell['steps'] for cell in mine):>7.0f}  "
                f"{mine[0]['parameters']:>10,}"
            )
    return "\n".join(lines)


def main() -> None:
    """Learn what is missing in the file of results, tell all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", required=True, help="a file or a built-in corpus")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=800, help="of quick")
    parser.add_argument("--only", nargs="*", help="variants; joined by ' + ' if wanted")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path("architecture.jsonl"))
    options = parser.parse_args()
    lines = options.results.read_text().splitlines() if options.results.exists() else []
    found = [cell for cell in map(json.loads, lines) if cell["of"] == options.steps]
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(learn, name, seed, options) for name, seed in cells(options, found)]
        for job in jobs:
            found.append(job.result())
            with options.results.open("a") as file:
                file.write(json.dumps(found[-1]) + "\n")
            print(found[-1], flush=True)
    print(table(found))


if __name__ == "__main__":
    main()
