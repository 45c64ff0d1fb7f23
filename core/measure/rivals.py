"""Other programs that decode the same weights, each in a process of its own.

A rival is written once for its program (a folder for transformers, a GGUF file for llama.cpp)
into a place that goes with it, and then asked for repetitions over a pipe: JSON lines, numbers
only (`core.measure.rival_worker`). Between two repetitions its process waits for the next line
and costs nothing. One that ends on its own, whatever the reason, is an error in a sentence here.

Invariant: what a repetition says of its parts fits into the time that passed here while it was
made, or it is marked.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from core.errors import RivalError
from core.interop.equivalents import Portable
from core.interop.gguf.writer import write_gguf
from core.interop.huggingface.writer import write_hf
from core.model.transformer import Transformer
from core.openmp import SPIN_COUNT
from core.store.files import sweep
from core.store.stages import IsStopping, Telling, never
from core.text.tokenizer import Tokenizer

TRANSFORMERS, LLAMA, MINITF = "transformers", "llama.cpp", "minitf"
PACKAGES = {
    TRANSFORMERS: ("transformers", "transformers"),
    LLAMA: ("llama_cpp", "llama-cpp-python"),
}
"""Module and distribution of each."""
NUMBER_TYPES = {0: "f32", 8: "q8_0", 4: "q4_0"}
"""Of a GGUF file, by the bits of a weight."""
END_S = 10.0
PLACE, PLACE_AGE_S = "minitf-rival-", 2 * 86_400
"""Of its files, and when one that is still there is nobody's any more."""
ROOT = Path(__file__).parents[2]


class RivalTiming(NamedTuple):
    """What one repetition took, by the rival's own clock."""

    prefill_ms: float
    """Until the first new token was chosen."""
    decode_ms: float
    """Of all tokens after it."""
    tokens: tuple[int, ...]
    """Those chosen, the first one among them."""
    wall_ms: float
    """That passed here meanwhile."""

    @property
    def is_sound(self) -> bool:
        """Its parts fit into what passed here."""
        return self.prefill_ms + self.decode_ms <= self.wall_ms


class Rival:
    """A program in a process of its own, ready to repeat. Close it, or use it in a `with`."""

    def __init__(
        self, name: str, told: Mapping[str, Any], place: tempfile.TemporaryDirectory[str] | None
    ) -> None:
        """`told` is what its worker is told at the start; `place` goes when it ends.

        Raises:
            RivalError: it does not start.
        """
        self.name = name
        self._place = place
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process is)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "core.measure.rival_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_environment(name),
        )
        try:
            ready = self._ask(told)
        except BaseException:  # Ctrl-C too, while it loads
            self._process.kill()
            self.close()
            raise
        self.threads: int = ready["threads"]
        self.version: str = ready["version"]
        self.note: str = ready["note"]

    def repetition(self, prompt: Sequence[int], n: int) -> RivalTiming:
        """Read a prompt into an empty cache and choose a token, then n more, greedily.

        Raises:
            RivalError: the program has ended.
        """
        began = time.perf_counter()
        found = self._ask({"prompt": list(prompt), "n": n})
        wall_ms = 1000 * (time.perf_counter() - began)
        tokens = tuple(found["tokens"])
        return RivalTiming(found["prefill_ms"], found["decode_ms"], tokens, wall_ms)

    def close(self) -> None:
        """End the process, and remove what was written for it."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        self._errors.close()
        if self._place is not None:
            self._place.cleanup()

    def __enter__(self) -> Rival:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, what: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):  # it has ended, and then there is no answer either
            self._process.stdin.write(json.dumps(dict(what)).encode() + b"\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._ended()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ended(self) -> RivalError:
        code = self._process.wait()
        how = f"with exit code {code}" if code >= 0 else f"by {_signal(-code)}"
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        why = f": {lines[-1].strip()[:200]}" if lines and code >= 0 else ""
        return RivalError(
            f"{self.name} has ended {how}{why}.",
            hint="Leave it out of --compare, or install another build of it.",
        )


def start_rival(
    name: str,
    model: Transformer,
    tokenizer: Tokenizer,
    *,
    bits: int = 0,
    threads: int = 0,
    is_stopping: IsStopping = never,
) -> Telling[Rival]:
    """Write a model for another program and start that.

    Args:
        name: "transformers" or "llama.cpp".
        model: on the CPU; its weights are written as float32, or for llama.cpp in 8 or 4 bits.
        bits: of a weight: 0, 8 (q8_0) or 4 (q4_0).
        threads: 0 lets it try which number is best for it, llama.cpp alone.

    Raises:
        RivalError: it is not installed, knows no such bits, or does not start.
        ExportError: it cannot compute this model.
        Stopped: somebody asked for an end.
    """
    check_installed(name)
    if name == TRANSFORMERS and bits:
        raise RivalError(
            f"transformers is timed in float32 only, and bits={bits}.",
            hint="Compare llama.cpp, which has q8_0 and q4_0.",
        )
    # What a killed process left.
    sweep(Path(tempfile.gettempdir()), f"{PLACE}*", untouched_s=PLACE_AGE_S)
    place = tempfile.TemporaryDirectory(prefix=PLACE, ignore_cleanup_errors=True)
    try:
        path = Path(place.name) / "model"
        yield from _written(name, model, tokenizer, path, bits, is_stopping)
    except BaseException:
        place.cleanup()
        raise
    told = {"program": name, "path": str(path), "bits": bits, "threads": threads}
    return Rival(name, told | {"max_seq_len": model.config.max_seq_len}, place)


def _written(
    name: str,
    model: Transformer,
    tokenizer: Tokenizer,
    path: Path,
    bits: int,
    is_stopping: IsStopping,
) -> Telling[object]:
    """The model in a form that the program reads."""
    weights = {key: weight.detach() for key, weight in model.named_parameters()}
    portable = Portable(model.config, weights)
    if name == TRANSFORMERS:
        return (yield from write_hf(portable, tokenizer, path, is_stopping))
    kind = NUMBER_TYPES[bits]
    return (yield from write_gguf(portable, tokenizer, path, "a model", kind, is_stopping))


def start_own(
    spec: str, *, engine: str = "auto", cache: str = "static", bits: int = 0, threads: int = 0
) -> Rival:
    """minitf itself in the same kind of process, on the run that `spec` names.

    Raises:
        RivalError: it does not start: the sentence says why.
    """
    told = {
        "program": MINITF,
        "path": spec,
        "bits": bits,
        "threads": threads,
        "engine": engine,
        "cache": cache,
    }
    return Rival(MINITF, told, None)


def check_installed(name: str) -> None:
    """Refuse a rival that is not there.

    Raises:
        RivalError: it is not.
    """
    if name not in PACKAGES:
        raise RivalError(
            f"minitf knows no rival {name!r}.", hint=f"There are {' and '.join(PACKAGES)}."
        )
    module, distribution = PACKAGES[name]
    if importlib.util.find_spec(module) is None:
        raise RivalError(
            f"{name} is not installed.", hint=f"Install it with: pip install {distribution}"
        )


def _environment(name: str) -> dict[str, str]:
    """Ours, in which its Python finds this package. PyTorch's threads wait politely there as
    they do here, which on a busy machine is faster; llama.cpp's wait as its makers wish."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH", "")])]
    found = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "TOKENIZERS_PARALLELISM": "false"}
    if name == LLAMA and found.get("GOMP_SPINCOUNT") == SPIN_COUNT:
        del found["GOMP_SPINCOUNT"]
    return found


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
