"""How fast minitf decodes beside transformers and llama.cpp, on the same weights.

    python tests/benchmarks/decode_rivals.py                         # all sizes, all sides
    python tests/benchmarks/decode_rivals.py --sizes small --sides minitf-f32,llama-f32

The models are the presets bench-small, bench-medium and bench-large, made untrained where they
are not there yet (`minitf train --preset bench-small --steps 0 --name bench-small`). int8 and int4
are the runs bench-small-int8, bench-small-int4, … that `minitf quantize` makes of them once: by
GPTQ and with embedding and head in 8 bits, as in quantize_quality.py, but calibrated on fewer
tokens, for of untrained weights nothing but the speed is measured. llama.cpp reads our own export.

Each side has its own process, reads the same prompt and writes 127 tokens after the first,
greedily, batch 1; after one warm-up the sides take turns. llama.cpp is called by `llama_decode`
with the threads and attention that it is fastest with. Printed are the bytes of the matrices as
each side keeps them; the medians of the tokens a second and their range; the bytes that are read
for a token as a share of what this machine can read at that size (`core.measure.reading`); and
how many of the 128 tokens are those of llama.cpp in f32. Then, for each goal, the median of the
ratios within a turn, and their range.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from core.openmp import tame_openmp

tame_openmp()

from core import recipes  # noqa: E402
from core.device import Device  # noqa: E402
from core.errors import MinitfError, RunError  # noqa: E402
from core.measure.limits import weights_read  # noqa: E402
from core.measure.reading import bytes_per_second  # noqa: E402
from core.measure.rivals import (  # noqa: E402
    NUMBER_TYPES,
    Rival,
    RivalTiming,
    start_own,
    start_rival,
)
from core.model.arithmetic import kv_bytes_per_token  # noqa: E402
from core.open_run import OpenRun, open_for_use  # noqa: E402
from core.presets import preset  # noqa: E402
from core.store.find import find_run  # noqa: E402
from core.store.stages import never  # noqa: E402
from core.testing import result_of  # noqa: E402
from tests.benchmarks.quantized import (  # noqa: E402
    gguf_bytes,
    gguf_read,
    matrix_bytes,
    quantized,
)

SIDES = {
    "minitf-f32": ("minitf", 0),
    "minitf-int8": ("minitf", 8),
    "minitf-int4": ("minitf", 4),
    "transformers": ("transformers", 0),
    "llama-f32": ("llama.cpp", 0),
    "llama-q8_0": ("llama.cpp", 8),
    "llama-q4_0": ("llama.cpp", 4),
}
GOALS = (
    ("minitf-f32", "transformers", {"small": 10.0, "medium": 3.0, "large": 1.2}),
    ("minitf-f32", "llama-f32", {"small": 1.0, "medium": 1.0, "large": 1.0}),
    ("minitf-int8", "llama-q8_0", {"small": 1.0, "medium": 1.0, "large": 1.0}),
    ("minitf-int4", "llama-q4_0", {"small": 1.0, "medium": 1.0, "large": 1.0}),
)
SAME_SIZE = (("minitf-int8", "llama-q8_0"), ("minitf-int4", "llama-q4_0"))
"""The first has no more bytes than the second."""
BANDWIDTH_GOAL = 0.8
LITTLE_TEXT = {"calibration_tokens": 4608, "eval_tokens": 257}
PROMPT_TOKENS, N = 16, 127
ROW = "{:7} {:13} {:>7} {:>11} {:>10} {:>19} {:>7} {:>6} {:>6} {:>9}  {}"


@dataclass
class Side:
    """One program on one model, and what was timed of it."""

    name: str
    rival: Rival
    matrix_bytes: int
    bytes_per_token: float
    """Of weights, and of the keys and values in the middle of what is written."""
    timings: list[RivalTiming] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        """Tokens a second, of each repetition."""
        return [1000 * N / timing.decode_ms for timing in self.timings]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table and what became of each goal."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--sizes", default="small,medium,large")
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--engine", default="auto", help="of minitf: auto, fast or torch")
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="of minitf and transformers")
    chosen = parser.parse_args(arguments)
    head = ("size", "side", "threads", "matrices", "tokens/s", "range", "GB/s", "share", "same")
    print(ROW.format(*head, "prefill", ""), flush=True)
    said = []
    for size in chosen.sizes.split(","):
        with ExitStack() as stack:
            said += measure(size, chosen, stack)
    print("\n".join(["", *said]))


def measure(size: str, chosen: argparse.Namespace, stack: ExitStack) -> list[str]:
    """Time all sides of one size in turns; a sentence for each goal."""
    found = made(f"bench-{size}")
    prompt = (result_of(found.held_out_ids(PROMPT_TOKENS, never)) or [])[:PROMPT_TOKENS]
    sides: list[Side] = []
    for name in chosen.sides.split(","):
        try:
            side = start(name, found, chosen)
        except MinitfError as error:
            print(f"{size}: {name}: {error} {error.hint}")
            continue
        stack.callback(side.rival.close)
        sides.append(side)
    device = Device("cpu", "float32", found.device.threads)
    sizes = {side.name: round(side.bytes_per_token) for side in sides}
    can_read = {name: bytes_per_second(device, n) for name, n in sizes.items()}
    for repetition in range(chosen.reps + 1):
        for side in list(sides):
            try:
                timing = side.rival.repetition(prompt, N)
            except MinitfError as error:
                print(f"{size}: {error} {error.hint}")
                sides.remove(side)
                continue
            if repetition:
                side.timings.append(timing)
    for name, n in sizes.items():
        can_read[name] = max(can_read[name], bytes_per_second(device, n))
    tell(size, sides, can_read)
    return judged(size, {side.name: side for side in sides}, can_read)


def made(name: str) -> OpenRun:
    """The run of a preset, untrained."""
    try:
        find_run(name)
    except RunError:
        for _ in recipes.training(preset(name), name=name).run():
            pass
    return open_for_use(name, device="cpu", dtype="float32", threads=0)


def start(name: str, found: OpenRun, chosen: argparse.Namespace) -> Side:
    """One side, ready to repeat."""
    program, bits = SIDES[name]
    held = (PROMPT_TOKENS + N / 2) * kv_bytes_per_token(found.model.config)
    if program == "minitf":
        own = quantized(found.run.name, bits, **LITTLE_TEXT) if bits else found
        rival = start_own(own.run.name, engine=chosen.engine, threads=chosen.threads)
        return Side(name, rival, matrix_bytes(own.model), weights_read(own.model) + held)
    threads = (chosen.threads or found.device.threads) if program == "transformers" else 0
    work = start_rival(program, found.model, found.tokenizer, bits=bits, threads=threads)
    kind = NUMBER_TYPES[bits]
    read = gguf_read(found.model, kind) + held
    return Side(name, result_of(work), gguf_bytes(found.model, kind), read)


def tell(size: str, sides: Sequence[Side], can_read: dict[str, float]) -> None:
    """A line a side."""
    oracle = next((side.timings[0].tokens for side in sides if side.name == "llama-f32"), ())
    for side in sides:
        rate = statistics.median(side.rates)
        read = rate * side.bytes_per_token
        same = sum(a == b for a, b in zip(side.timings[0].tokens, oracle, strict=False))
        prefill = statistics.median(timing.prefill_ms for timing in side.timings)
        is_sound = all(timing.is_sound for timing in side.timings)
        remark = side.rival.note + ("" if is_sound else ", its times exceed the wall clock's")
        values = (
            f"{side.matrix_bytes:,}",
            f"{rate:,.1f}",
            f"{min(side.rates):,.1f}…{max(side.rates):,.1f}",
            f"{read / 1e9:.2f}",
            f"{read / can_read[side.name]:.0%}",
            same if oracle else "–",
            f"{prefill:.2f} ms",
        )
        print(ROW.format(size, side.name, side.rival.threads, *values, remark), flush=True)


def judged(size: str, sides: dict[str, Side], can_read: dict[str, float]) -> list[str]:
    """What became of each goal."""
    said = []
    for ours, theirs, goals in GOALS:
        if ours in sides and theirs in sides:
            pairs = zip(sides[ours].rates, sides[theirs].rates, strict=True)
            ratios = sorted(left / right for left, right in pairs)
            ratio = statistics.median(ratios)
            word = "met" if ratio >= goals[size] else "MISSED"
            spread = f"{ratios[0]:.2f}…{ratios[-1]:.2f}"
            text = f"{ratio:.2f} x {theirs} ({spread}), goal {goals[size]:g}: {word}"
            said.append(f"{size}: {ours} {text}")
    for ours, theirs in SAME_SIZE:
        if ours in sides and theirs in sides:
            left, right = sides[ours].matrix_bytes, sides[theirs].matrix_bytes
            word = "met" if left <= right else "MISSED"
            said.append(f"{size}: {ours} {left:,} bytes, {theirs} {right:,}: {word}")
    if size == "large":
        for name in ("minitf-f32", "minitf-int8", "minitf-int4"):
            if name in sides:
                rate = statistics.median(sides[name].rates)
                share = rate * sides[name].bytes_per_token / can_read[name]
                word = "met" if share >= BANDWIDTH_GOAL else "MISSED"
                said.append(f"{size}: {name} reads {share:.0%} of what it could: {word}")
    return said


if __name__ == "__main__":
    main()
