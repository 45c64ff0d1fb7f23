"""Whether what a capsule held is a run, before it becomes one.

Invariant: a run that passes can be opened, listed, resumed, evaluated and exported again without
a surprise: every number that minitf reads from it is there and is one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from core.config import ModelConfig, RunConfig
from core.errors import ConfigError, RunError, TokenizerError
from core.interop.capsule.archive import MAX_WEIGHT_BYTES, Member, damaged
from core.interop.capsule.metrics_check import check_metrics, is_number
from core.model.arithmetic import FLOAT32_BYTES, count_parameters
from core.model.transformer import Transformer
from core.store.forks import FOLDER as FORK
from core.store.forks import begun_at
from core.store.rates import FILE_NAME as RATES_NAME
from core.store.rates import given_rates
from core.store.run import FACT, TEXT_NAME, Run, read_state
from core.store.run_toml import read_run_toml
from core.store.start import FILE_NAME as START_NAME
from core.store.start import HASH as START_HASH
from core.store.start import read_start
from core.store.tokenizers import tokenizer_of
from core.text.reading import FileError, read_exactly

MAX_LAYERS = 1024
MAX_POSITIONS = 1 << 20
MAX_THREADS = 1024
_WEIGHTS_IN = {"model.safetensors": 1, "init.safetensors": 1, "state.safetensors": 2}
"""How often a file has the weights, or as much."""
_HEADER_BYTES = 16 << 20
"""What safetensors may need beside the numbers."""
_PROVENANCE: dict[str, type | tuple[type, ...]] = {
    "created": str,
    "n_params": int,
    "device": str,
    "dtype": str,
    "threads": int,
}
_PROGRESS: dict[str, tuple[type, ...]] = {
    "tokens": (int,),
    "best_loss": (int, float, type(None)),
    "last_validation": (dict, type(None)),
    "validation": (dict, type(None)),
    "spent_s": (dict,),
}
_SHA256 = re.compile("[0-9a-f]{64}")

Shapes = Mapping[str, tuple[int, ...]]


def read_settings(folder: Path, source: str) -> tuple[RunConfig, dict[str, Any]]:
    """Config and provenance of the run in `folder`.

    Raises:
        FormatError: they cannot be read, or lack what a run must have.
    """
    try:
        config, about = read_run_toml((folder / "run.toml").read_text(encoding="utf-8"))
    except (ValueError, KeyError, ConfigError, RecursionError) as error:
        raise damaged(source, f"run.toml cannot be read ({error})") from error
    for name, kind in _PROVENANCE.items():
        if not isinstance(about.get(name), kind):
            raise damaged(source, f"run.toml does not say {name}")
    if FACT in about:
        raise damaged(source, "its run is quantised")
    if not _SHA256.fullmatch(str(about.get("corpus_sha256"))):
        raise damaged(source, "run.toml does not say corpus_sha256")
    if not 0 < about["threads"] <= MAX_THREADS:
        raise damaged(source, f"it was trained on {about['threads']} threads")
    ends = about.get("end_ids", [])
    if not isinstance(ends, list) or not all(type(i) is int for i in ends):
        raise damaged(source, "its end_ids are no list of tokens")
    return config, about


def check_sizes(
    members: Sequence[Member], config: RunConfig, provenance: Mapping[str, Any], source: str
) -> None:
    """Refuse tensors that are too large for the model, before any is unpacked.

    Raises:
        FormatError: they are, or the text is another one.
    """
    model = config.model
    if model.n_layers > MAX_LAYERS:
        raise damaged(source, f"its model has {model.n_layers} layers, and {MAX_LAYERS} at most")
    if model.max_seq_len > MAX_POSITIONS:
        raise damaged(source, f"its model has {model.max_seq_len} positions")
    weights = FLOAT32_BYTES * count_parameters(model)
    if weights > MAX_WEIGHT_BYTES:
        raise damaged(source, f"its model has {weights >> 30} GiB")
    for member in members:
        times = _WEIGHTS_IN.get(Path(member.name).name)
        if times and member.bytes > times * weights + _HEADER_BYTES:
            raise damaged(source, f"{member.name} is larger than its model")
        if member.name == TEXT_NAME and member.sha256 != provenance["corpus_sha256"]:
            raise damaged(source, "its text is not the one that it was trained on")


def check_run(folder: Path, source: str) -> Generator[float, None, Run]:
    """The run in `folder`, if all of it is sound. Tells the share of the way.

    Raises:
        FormatError: something is not.
    """
    run = Run(folder, *read_settings(folder, source))
    _check_tokenizer(run, source)
    _check_text(run, source)
    check_metrics(folder, source)
    try:
        given_rates(run)
    except (RunError, RecursionError) as error:
        raise damaged(source, f"{RATES_NAME} cannot be read") from error
    for path in sorted(folder.glob("[eb]*s/*.json")):
        _json_object(path, source)
    shapes = _shapes(run.config.model)
    if sum(map(_count, shapes.values())) != run.provenance["n_params"]:
        raise damaged(source, "n_params is not the size of its model")
    yield from _check_start(run, shapes, source)
    yield from _check_fork(run, shapes, source)
    steps = run.checkpoint_steps()
    for n, step in enumerate(steps):
        for share in _check_checkpoint(run.checkpoint_path(step), step, shapes, source):
            yield (n + share) / len(steps)
    return run


def _check_tokenizer(run: Run, source: str) -> None:
    try:
        tokenizer = tokenizer_of(run)
    except TokenizerError as error:
        raise damaged(source, f"tokenizer.json cannot be used ({error})") from error
    except (RunError, RecursionError) as error:
        raise damaged(source, "tokenizer.json cannot be read") from error
    n_ids = run.config.model.vocab_size
    if tokenizer.vocab_size > n_ids:
        words = f"its tokenizer has {tokenizer.vocab_size} tokens, and its model {n_ids}"
        raise damaged(source, words)


def _check_text(run: Run, source: str) -> None:
    if not run.text_path.is_file():
        return
    try:
        for _ in read_exactly(run.text_path):
            pass
    except FileError as error:
        raise damaged(source, f"{TEXT_NAME} is no text") from error


def _check_start(run: Run, shapes: Shapes, source: str) -> Iterator[float]:
    """A run that began with weights from elsewhere has them, and only such a run has."""
    path = run.path / START_NAME
    if path.is_file() != (START_HASH in run.provenance):
        raise damaged(source, f"run.toml and {START_NAME} do not fit")
    if path.is_file():
        for _ in _check_tensors(path, shapes, 0, source):
            yield 0.0
        try:
            read_start(run)
        except RunError as error:
            raise damaged(source, f"{START_NAME} is not what the run began with") from error


def _check_fork(run: Run, shapes: Shapes, source: str) -> Iterator[float]:
    """A fork has the checkpoint that it began with, and only a fork has one."""
    folder, step = run.path / FORK, begun_at(run)
    if folder.is_dir() != (step is not None):
        raise damaged(source, f"run.toml and {FORK} do not fit")
    if step is not None:
        for _ in _check_checkpoint(folder, step, shapes, source):
            yield 0.0


def _check_checkpoint(folder: Path, step: int, shapes: Shapes, source: str) -> Iterator[float]:
    try:
        state = read_state(folder, step)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise damaged(source, f"state.json of step {step} cannot be read") from error
    _check_progress(state, step, source)
    if not (folder / "model.safetensors").exists():
        raise damaged(source, f"the checkpoint of step {step} has no weights")
    yield from _check_tensors(folder / "model.safetensors", shapes, step, source)
    moments = folder / "state.safetensors"
    if moments.exists():
        yield from _check_tensors(moments, _moment_shapes(shapes), step, source)
    elif step:
        raise damaged(source, f"the checkpoint of step {step} has no moments")


def _check_progress(state: Mapping[str, Any], step: int, source: str) -> None:
    numbers = [state.get("returns", 0), state.get("lr_factor", 1.0)]
    is_sound = all(isinstance(state.get(name, ...), kinds) for name, kinds in _PROGRESS.items())
    is_sound &= _is_controlled(state.get("controls", []), state.get("budget"))
    if is_sound:
        numbers += state["spent_s"].values()
        for found in filter(None, (state["last_validation"], state["validation"])):
            names = ("step", "loss", "perplexity", "bits_per_byte")
            numbers += [found.get(name) for name in names]
    if not is_sound or not all(map(is_number, numbers)):
        raise damaged(source, f"state.json of step {step} lacks a number")


def _is_controlled(controls: Any, budget: Any) -> bool:
    """Whether it says as a run does what was commanded."""
    is_list = isinstance(controls, list) and all(type(n) is int for n in controls)
    if budget is None:
        return is_list
    is_budget = isinstance(budget, dict) and budget.keys() == {"steps", "seconds"}
    return is_list and is_budget and type(budget["steps"]) is int and is_number(budget["seconds"])


def _check_tensors(path: Path, shapes: Shapes, step: int, source: str) -> Iterator[float]:
    what = f"{path.name} of step {step}"
    try:
        with safe_open(path, "pt") as tensors:
            if odd := sorted(set(tensors.keys()) ^ set(shapes)):
                raise damaged(source, f"{what} has not the tensors of its model: {odd[0]}")
            for n, (name, shape) in enumerate(shapes.items(), 1):
                tensor = tensors.get_tensor(name)
                if tuple(tensor.shape) != shape or tensor.dtype != torch.float32:
                    raise damaged(source, f"{name} in {what} has another shape or type")
                if not torch.isfinite(tensor).all():
                    raise damaged(source, f"{name} in {what} holds a number that is not finite")
                yield n / len(shapes)
    except (SafetensorError, ValueError) as error:
        raise damaged(source, f"{what} is damaged") from error


def _shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        model = Transformer(config, seed=None)
    return {name: tuple(p.shape) for name, p in model.named_parameters()}


def _moment_shapes(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Of AdamW; see `core.training.optimizer`."""
    moments = {
        f"{name}.{kind}": s for name, s in shapes.items() for kind in ("exp_avg", "exp_avg_sq")
    }
    return moments | {f"{name}.step": () for name in shapes}


def _count(shape: tuple[int, ...]) -> int:
    n = 1
    for size in shape:
        n *= size
    return n


def _json_object(path: Path, source: str) -> None:
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise damaged(source, f"{path.name} cannot be read") from error
    if not isinstance(found, dict):
        raise damaged(source, f"{path.name} cannot be read")
