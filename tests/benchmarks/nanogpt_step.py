"""A training step against nanoGPT's: the same function, in turns in one process.

    git clone https://github.com/karpathy/nanoGPT
    python tests/benchmarks/nanogpt_step.py --nanogpt nanoGPT --text tinyshakespeare.txt

nanoGPT is read from that checkout, none of it is part of minitf: its model, its optimiser and
its `get_batch` are run as they stand. Each side does all that a step needs: it draws rows
from the text, computes, clips, updates, and reads the loss. Blocks of steps alternate, first
one side, then the other, so that whatever else the machine does meets both.

With `--probed` there is a second race, in which ours takes the way that a trial of all of them
found fastest: threads, bfloat16, PyTorch's compiler. That is no longer the same function in the
same type, so its figure stands beside the first and does not replace it.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib.util
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from core.openmp import tame_openmp

tame_openmp()

import numpy as np  # noqa: E402
import torch  # noqa: E402

from core.config import EvalConfig, ModelConfig, RunConfig, TrainConfig  # noqa: E402
from core.device import choose_device  # noqa: E402
from core.events import StepCompleted  # noqa: E402
from core.measure.all_ways import timed_ways  # noqa: E402
from core.measure.pace import ways_of  # noqa: E402
from core.measure.trial import Trial, Way, undisturbed  # noqa: E402
from core.model.transformer import Transformer  # noqa: E402
from core.text.batches import RandomBatches  # noqa: E402
from core.training.optimizer import make_optimizer  # noqa: E402
from core.training.trainer import Probes, Trainer  # noqa: E402

SHAPES = {
    # The CPU recipe of its README, and the model of config/train_shakespeare_char.py.
    "small": {"n_layer": 4, "n_head": 4, "n_embd": 128, "block_size": 64, "batch_size": 12},
    "large": {"n_layer": 6, "n_head": 6, "n_embd": 384, "block_size": 256, "batch_size": 8},
}
LR, BETAS, WEIGHT_DECAY, CLIP = 1e-3, (0.9, 0.99), 0.1, 1.0
COMPARED_STEPS, TOLERANCE = 10, 1e-3


class NanoGPT:
    """The other side."""

    threads = 0
    """Set before each step, where ours may have others; 0 leaves them."""

    def __init__(self, checkout: Path, shape: dict[str, int], vocab_size: int, data: Path) -> None:
        module = _module(checkout / "model.py")
        sizes = {name: shape[name] for name in ("n_layer", "n_head", "n_embd", "block_size")}
        with contextlib.redirect_stdout(io.StringIO()):
            config = module.GPTConfig(**sizes, vocab_size=vocab_size, dropout=0.0, bias=False)
            self.model = module.GPT(config)
            self._optimizer = self.model.configure_optimizers(WEIGHT_DECAY, LR, BETAS, "cpu")
        self.get_batch = _function(
            checkout / "train.py",
            "get_batch",
            {
                **{"np": np, "torch": torch, "os": os, "data_dir": str(data)},
                **{"device": "cpu", "device_type": "cpu"},
                **{name: shape[name] for name in ("block_size", "batch_size")},
            },
        )

    def step(self, batch: tuple[torch.Tensor, torch.Tensor] | None = None) -> float:
        """Take one; its loss."""
        if self.threads and torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        inputs, targets = batch or self.get_batch("train")
        _, loss = self.model(inputs, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return loss.item()


class Ours:
    """The trainer as a run drives it."""

    def __init__(self, shape: dict[str, int], vocab_size: int, ids: Any, threads: int) -> None:
        self.config = TrainConfig(
            context=shape["block_size"],
            batch_size=shape["batch_size"],
            steps=10**9,
            lr=LR,
            warmup_steps=0,
            schedule="constant",
            weight_decay=WEIGHT_DECAY,
            beta1=BETAS[0],
            beta2=BETAS[1],
            grad_clip=CLIP,
            checkpoint_interval=0,
        )
        self.model = Transformer(
            ModelConfig(
                vocab_size=vocab_size,
                max_seq_len=shape["block_size"],
                d_model=shape["n_embd"],
                n_layers=shape["n_layer"],
                n_heads=shape["n_head"],
                positions="learned",
                activation="gelu",
                tied_head=True,
            )
        )
        self.batches = RandomBatches(
            ids, batch_size=shape["batch_size"], context=shape["block_size"], seed=0
        )
        self.device = choose_device("cpu", "float32", threads)
        self._events: Iterator[Any] = iter(())

    def start(self) -> None:
        """From the weights as they are, with fresh moments."""
        trainer = Trainer(
            self.model,
            make_optimizer(self.model, self.config, dtype=self.device.dtype),
            self.batches,
            Probes(evaluate=lambda _: None, sample=lambda _: None),
            self.config,
            EvalConfig(eval_interval=0, sample_interval=0),
            device=self.device,
        )
        self._events = trainer.run()

    def settle(self) -> str:
        """Take the way that is fastest of all; tells which, and the others' figures."""
        config = RunConfig(model=self.model.config, train=self.config)
        plain = replace(self.device, has_fixed_threads=False)
        with undisturbed():
            trial = Trial(config, plain, self.model, self.batches)
            timed, note = timed_ways(trial, ways_of(config, plain), lambda: False)
        best = min(timed, key=lambda way: way.ratio if way.is_clear else 1.0)
        self.device = Way(best.threads, best.dtype, best.is_compiled).on(plain)
        figures = [
            f"  {way.threads} threads, {way.dtype}{', compiled' * way.is_compiled}: "
            f"{way.step_ms:.2f} ms, ratio {way.ratio:.3f}{' (clear)' * way.is_clear}"
            for way in timed
        ]
        return "\n".join([*figures, f"  {note}" * bool(note), f"  taken: {self.device}"])

    def step(self) -> float:
        """Take one; its loss."""
        if torch.get_num_threads() != self.device.threads:
            torch.set_num_threads(self.device.threads)
        while not isinstance(event := next(self._events), StepCompleted):
            pass
        return event.loss


@torch.no_grad()
def copy_weights(source: Any, target: Transformer) -> None:
    """Ours become nanoGPT's; its three projections in one are ours in three."""
    tensors = dict(source.named_parameters())
    tensors["transformer.wte.weight"] = source.transformer.wte.weight
    target.embedding.weight.copy_(tensors.pop("transformer.wte.weight"))
    assert target.position_table is not None
    target.position_table.copy_(tensors.pop("transformer.wpe.weight"))
    target.final_norm.weight.copy_(tensors.pop("transformer.ln_f.weight"))
    for i, block in enumerate(target.blocks):
        attention, feed_forward = block.attention, block.feed_forward
        joined = tensors.pop(f"transformer.h.{i}.attn.c_attn.weight").chunk(3)
        names = {
            "ln_1": block.attention_norm,
            "ln_2": block.feed_forward_norm,
            "attn.c_proj": attention.o_proj,
            "mlp.c_fc": feed_forward.up_proj,
            "mlp.c_proj": feed_forward.down_proj,
        }
        for name, module in names.items():
            module.weight.copy_(tensors.pop(f"transformer.h.{i}.{name}.weight"))
        for module, weight in zip(
            (attention.q_proj, attention.k_proj, attention.v_proj), joined, strict=True
        ):
            module.weight.copy_(weight)
    assert not set(tensors) - {"lm_head.weight"}, f"not copied: {sorted(tensors)}"


def compare(ours: Ours, theirs: NanoGPT) -> float:
    """The largest difference of the first losses, from equal weights and equal batches."""
    copy_weights(theirs.model, ours.model)
    ours.start()
    differences = []
    for step in range(1, COMPARED_STEPS + 1):
        rows = [torch.from_numpy(np.ascontiguousarray(ids)) for ids in ours.batches.at(step)]
        differences.append(abs(ours.step() - theirs.step((rows[0], rows[1]))))
    return max(differences)


@dataclass
class Times:
    """Milliseconds a step of one side, a median for each block."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """Of all threads together: what a crowded machine changes least, with one thread."""

    def add_block(self, step: Callable[[], float], n_steps: int) -> None:
        """Take some steps in a row."""
        wall, cpu = [], []
        for _ in range(n_steps):
            began, worked = time.perf_counter(), time.process_time()
            step()
            wall.append(1000 * (time.perf_counter() - began))
            cpu.append(1000 * (time.process_time() - worked))
        self.wall.append(statistics.median(wall))
        self.cpu.append(statistics.median(cpu))


def race(ours: Ours, theirs: NanoGPT, rounds: int, n_steps: int) -> tuple[Times, Times]:
    """Blocks in turns, after one each that does not count; who begins changes every round."""
    steps: tuple[Callable[[], float], Callable[[], float]] = (ours.step, theirs.step)
    times = (Times(), Times())
    for step in steps:
        Times().add_block(step, n_steps)
    for n in range(rounds):
        for side in (0, 1) if n % 2 == 0 else (1, 0):
            times[side].add_block(steps[side], n_steps)
    return times


def report(what: str, mine: list[float], other: list[float]) -> str:
    """Medians, and how many times faster we are: of the medians, and round by round."""
    ratios = sorted(b / a for a, b in zip(mine, other, strict=True))
    low, high = ratios[len(ratios) // 10], ratios[-1 - len(ratios) // 10]
    ours, theirs = statistics.median(mine), statistics.median(other)
    return (
        f"{what:>4}: minitf {ours:.2f} ms, nanoGPT {theirs:.2f} ms; minitf is "
        f"{theirs / ours:.3f} x as fast; paired {statistics.median(ratios):.3f}, "
        f"80 % of rounds within {low:.3f}-{high:.3f}"
    )


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("nanogpt_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _function(path: Path, name: str, namespace: dict[str, Any]) -> Callable[[str], Any]:
    """One function of a script that cannot be imported without being run."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name)
    exec(compile(ast.Module([found], []), str(path), "exec"), namespace)
    return namespace[name]


def main() -> None:
    """Compare the functions, then their speed; exit code 1 if they are not the same function."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nanogpt", type=Path, required=True, help="a checkout of it")
    parser.add_argument("--text", type=Path, required=True, help="a text, read as characters")
    parser.add_argument("--shape", choices=tuple(SHAPES), default="small")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=20, help="in a block")
    parser.add_argument("--probed", action="store_true", help="race our fastest way, too")
    options = parser.parse_args()

    text = options.text.read_text(encoding="utf-8")
    alphabet = {character: i for i, character in enumerate(sorted(set(text)))}
    ids = np.array([alphabet[c] for c in text], np.uint16)[: int(0.9 * len(text))]
    shape = SHAPES[options.shape]
    with tempfile.TemporaryDirectory() as folder:
        ids.tofile(Path(folder) / "train.bin")
        mapped = np.memmap(Path(folder) / "train.bin", np.uint16, mode="r")
        ours = Ours(shape, len(alphabet), mapped, options.threads)
        torch.manual_seed(1337)
        theirs = NanoGPT(options.nanogpt, shape, len(alphabet), Path(folder))
        difference = compare(ours, theirs)
        mine, other = race(ours, theirs, options.rounds, options.steps)
        probed = ""
        if options.probed:
            probed = ours.settle()
            ours.start()
            torch.set_num_threads(options.threads)
            theirs.threads = options.threads
            best, beside = race(ours, theirs, options.rounds, options.steps)
            probed = (
                f"\nwith all that a trial may choose:\n{probed}\n"
                f"{report('wall', best.wall, beside.wall)}"
            )
    print(
        f"{options.shape} {shape}, vocabulary {len(alphabet)}, {options.threads} threads, "
        f"GOMP_SPINCOUNT={os.environ.get('GOMP_SPINCOUNT')}, torch {torch.__version__}\n"
        f"first {COMPARED_STEPS} losses differ by at most {difference:.1e}\n"
        f"medians of {options.rounds} blocks of {options.steps} steps\n"
        f"{report('wall', mine.wall, other.wall)}\n{report('cpu', mine.cpu, other.cpu)}"
        f"{probed}"
    )
    if not difference <= TOLERANCE:
        sys.exit("This is not the same function.")


if __name__ == "__main__":
    main()
