"""From a run to its quantised copy: read, calibrate, round, compare, keep.

The copy is a run of its own, there whole or not at all, with the text and the tokenizer of the
one it was made from.
"""

from __future__ import annotations

import copy
import math
import shutil
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.config import QuantizeConfig
from core.device import environment
from core.errors import DataError, RunError
from core.events import (
    DecodeSpeed,
    MatrixQuantized,
    Quality,
    Quantization,
    QuantizationCompleted,
    QuantizationEvent,
)
from core.infer.calibration import head_name, written_by
from core.infer.quantize import Layout, n_bytes, plan, quantize
from core.measure.decode_speed import decode_speed
from core.measure.quality import compare
from core.model.transformer import Transformer
from core.open_run import OpenRun, open_for_use
from core.store.checkpoint import weights_of
from core.store.packed_weights import to_tensors
from core.store.run import FACT, TEXT_NAME, Run, create_run
from core.store.stages import IsStopping, Stopped, Telling, telling
from core.store.start import HASH, write_weights

PROMPT_TOKENS = 16
NOT_INHERITED = ("created", "init_from", "replay_of", HASH)
"""Of the provenance: what is not true of the copy, or of no use to it."""


@dataclass(frozen=True, slots=True)
class _Texts:
    """Ids to weigh errors by, and to score both models on."""

    calibration: NDArray[Any]
    scored: NDArray[Any]
    is_generated: bool
    n_held_out: int
    """Tokens of the validation split; 0 where there is none."""
    remarks: tuple[str, ...]


def quantize_run(
    spec: str, name: str | None, config: QuantizeConfig, is_stopping: IsStopping
) -> Generator[QuantizationEvent, None, None]:
    """Quantise what `spec` means; the last event has the new run.

    Raises:
        RunError: there is no such run, it is quantised already, or the name cannot be used.
        ConfigError: a pattern means no matrix.
    """
    try:
        result = yield from _quantize_run(spec, name, config, is_stopping)
    except Stopped:
        return
    yield QuantizationCompleted(result=result)


def _quantize_run(
    spec: str, name: str | None, config: QuantizeConfig, is_stopping: IsStopping
) -> Generator[QuantizationEvent, None, Quantization]:
    found = open_for_use(spec, device="cpu", dtype="float32", threads=0)
    if found.model.packed:
        raise RunError(
            f"The run {found.run.name} is quantised already.",
            hint="Quantise the run that it was made from: minitf runs show tells which.",
        )
    layouts = plan(found.model, config)
    texts = yield from _texts(found, config, is_stopping)
    after = copy.deepcopy(found.model)
    yield from _rounded(after, layouts, config, _windows(found, texts), is_stopping)
    quality, speed = yield from _measured(found, after, texts, is_stopping)
    run = _kept(found, after, name, config, _validation(found, texts, quality))
    source = "generated text" if texts.is_generated else "training text"
    result = Quantization(
        run=run.name,
        path=str(run.path),
        from_run=found.run.name,
        from_step=found.step,
        bits=config.bits,
        group_size=config.group,
        symmetric=not config.asymmetric,
        method=config.method,
        matrices=len(after.packed),
        head_bits=_bits_of(after, head_name(after)),
        bytes_before=n_bytes(found.model),
        bytes_after=n_bytes(after),
        calibration=source if config.method != "nearest" else "",
        calibration_tokens=len(texts.calibration) if config.method != "nearest" else 0,
        text="generated text" if texts.is_generated else "validation split",
        quality=quality,
        speed=speed,
        remarks=(*(layout.note for layout in layouts if layout.note), *texts.remarks),
    )
    run.save_report("quantizations", asdict(result))
    return result


def _measured(
    found: OpenRun, after: Transformer, texts: _Texts, is_stopping: IsStopping
) -> Telling[tuple[Quality, DecodeSpeed]]:
    """Both models side by side: what they predict, and how fast."""
    work = compare(found.model, after, texts.scored, _context(found), found.device)
    quality = yield from telling("comparing the predictions", work, is_stopping)
    room = max(1, min(PROMPT_TOKENS, found.model.config.max_seq_len // 2))
    prompt = [int(i) for i in texts.scored[:room]]
    racing = decode_speed(found.model, after, prompt, found.device)
    return quality, (yield from telling("timing both", racing, is_stopping))


def _bits_of(model: Transformer, name: str) -> int:
    return model.packed[name].bits if name in model.packed else 32


def _rounded(
    model: Transformer,
    layouts: list[Layout],
    config: QuantizeConfig,
    ids_NT: Tensor,
    is_stopping: IsStopping,
) -> Generator[QuantizationEvent, None, None]:
    work = quantize(model, layouts, config.method, ids_NT)
    for index, rounded in enumerate(work, 1):
        if is_stopping():
            raise Stopped
        yield MatrixQuantized(
            name=rounded.layout.name,
            index=index,
            of=len(layouts),
            bits=rounded.layout.bits,
            group_size=rounded.layout.group_size,
            error=rounded.error,
        )


def _texts(found: OpenRun, config: QuantizeConfig, is_stopping: IsStopping) -> Telling[_Texts]:
    """The run's own text; where that is gone, what the model itself writes."""
    try:
        text = yield from found.text(is_stopping)
    except (DataError, RunError) as error:
        work = _written(found, config)
        calibration, scored = yield from telling("writing a text", work, is_stopping)
        why = f"{str(error).removesuffix('.')}, so the model was measured on a text of its own."
        return _Texts(calibration, scored, True, 0, (why,))
    if text is None:
        raise Stopped
    begin_at = np.linspace(0, max(0, len(text.train_ids) - _context(found)), _n(found, config))
    parts = [text.train_ids[int(i) : int(i) + _context(found)] for i in begin_at]
    scored = np.asarray(text.validation_ids[: config.eval_tokens + 1])
    return _Texts(np.concatenate(parts), scored, False, len(text.validation_ids), ())


def _context(found: OpenRun) -> int:
    return found.run.config.train.context


def _n(found: OpenRun, config: QuantizeConfig) -> int:
    return max(1, config.calibration_tokens // _context(found))


def _windows(found: OpenRun, texts: _Texts) -> Tensor:
    """Of the calibration text: (N, context), or one shorter row."""
    ids = texts.calibration.astype(np.int64)
    context = min(_context(found), len(ids))
    return torch.from_numpy(ids[: len(ids) // context * context].reshape(-1, context))


def _written(
    found: OpenRun, config: QuantizeConfig
) -> Generator[float, None, tuple[NDArray[Any], NDArray[Any]]]:
    begin = found.tokenizer.begin_ids
    first = begin[0] if begin else 0
    texts = []
    for seed, n_tokens in enumerate((config.calibration_tokens, config.eval_tokens)):
        rows = max(1, n_tokens // _context(found))
        ids = yield from written_by(found.model, first, rows, _context(found), seed, found.device)
        texts.append(ids.reshape(-1))
    return texts[0], texts[1]


def _validation(found: OpenRun, texts: _Texts, quality: Quality) -> dict[str, Any] | None:
    """What the list of runs shows; None unless all of the held-out text was scored, as training
    scores it."""
    stride = found.run.config.eval.stride
    if quality.tokens != texts.n_held_out - 1 or stride not in (0, quality.context):
        return None
    bits = quality.loss_after * quality.tokens / math.log(2)
    return {
        "step": found.step,
        "loss": quality.loss_after,
        "perplexity": quality.perplexity_after,
        "bits_per_byte": bits / found.tokenizer.count_bytes(texts.scored[1:]),
    }


def _kept(
    found: OpenRun,
    after: Transformer,
    name: str | None,
    config: QuantizeConfig,
    validation: dict[str, Any] | None,
) -> Run:
    source = found.run
    about = {
        "bits": config.bits,
        "group_size": config.group,
        "symmetric": not config.asymmetric,
        "method": config.method,
        "head_bits": _bits_of(after, head_name(after)),
        "matrices": len(after.packed),
        "from_run": source.name,
        "from_step": found.step,
    }
    inherited = {k: v for k, v in source.provenance.items() if k not in NOT_INHERITED}
    tensors = to_tensors(weights_of(after), after.packed)

    def fill(folder: Path) -> None:
        write_weights(folder, found.step, tensors, validation)
        if source.text_path.is_file():
            shutil.copyfile(source.text_path, folder / TEXT_NAME)

    return create_run(
        name,
        source.config,
        inherited | environment(found.device) | {FACT: about},
        found.tokenizer.to_json(),
        fill,
        stem=f"{source.name}-int{config.bits}",
    )
