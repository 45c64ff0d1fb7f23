"""Taking in a model from elsewhere: what it is, who reads it, and the run that it becomes."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from core import paths
from core.device import choose_device
from core.errors import FormatError
from core.events import Import, ImportCompleted, ImportEvent
from core.interop.arrival import arrive
from core.interop.capsule.packing import is_capsule, missing_text, open_capsule
from core.interop.foreign import ForeignModel
from core.interop.gguf.reader import read_gguf
from core.interop.huggingface.hub import HUB, fetch, model_name
from core.interop.huggingface.reader import read_hf
from core.interop.llama2c.reader import read_llama2c
from core.store.run import Run
from core.store.stages import IsStopping, outcome


def import_model(
    source: str,
    name: str | None,
    tokenizer: str | Path | None,
    corpus: str,
    max_seq_len: int,
    is_stopping: IsStopping,
) -> Generator[ImportEvent, None, None]:
    """Make a run of what `source` names.

    Raises:
        FormatError: it is damaged, or a model that minitf cannot compute.
        MinitfError: the name or the corpus cannot be used. Nothing is left behind.
    """
    device = choose_device("cpu", "float32", 0)
    path = Path(source)
    if source.startswith(HUB):
        fetched = yield from outcome(fetch(source.removeprefix(HUB), is_stopping))
        if fetched is None:
            return
        path = fetched
    path = paths.absolute(str(path))
    if not os.path.exists(path):  # noqa: PTH110 - a name may be longer than any file's
        raise FormatError(
            f"There is no file or folder {source!r}.",
            hint="Name a folder of transformers, a .gguf, a .bin of llama2.c, a capsule, or"
            " hub:OWNER/NAME.",
        )
    if is_capsule(path):
        run = yield from outcome(open_capsule(path, source, name, is_stopping))
        if run is not None:
            yield ImportCompleted(result=_result(run, source, "capsule", "", missing_text(run)))
        return
    model = read(path, source, tokenizer, max_seq_len)
    if source.startswith(HUB):  # whose folder is called after a commit
        model = replace(model, stem=model_name(source))
    run = yield from outcome(arrive(model, name, corpus, device, is_stopping))
    if run is not None:
        about = (model.format, model.architecture, model.remarks)
        yield ImportCompleted(result=_result(run, source, *about))


def read(path: Path, source: str, tokenizer: str | Path | None, max_seq_len: int) -> ForeignModel:
    """What is at `path`, by the reader that knows it.

    Raises:
        FormatError: none does, or it is damaged.
    """
    if path.is_dir():
        return read_hf(path, source, max_seq_len)
    suffix = path.suffix if path.is_file() else ""  # a pipe may never say anything
    if suffix == ".bin":
        return read_llama2c(path, source, tokenizer, max_seq_len)
    if suffix == ".gguf":
        return read_gguf(path, source, max_seq_len)
    raise FormatError(
        f"{source!r} is none of the files that minitf reads.",
        hint="Those are a folder of transformers, a .gguf, a .bin of llama2.c and a capsule.",
    )


def _result(
    run: Run, source: str, format: str, architecture: str, remarks: tuple[str, ...]
) -> Import:
    step = max(run.checkpoint_steps(), default=0)
    weights = run.checkpoint_path(step) / "model.safetensors"
    return Import(
        run=run.name,
        path=str(run.path),
        source=source,
        format=format,
        architecture=architecture,
        step=step,
        n_params=int(run.provenance.get("n_params", 0)),
        vocab_size=run.config.model.vocab_size,
        context=run.config.model.max_seq_len,
        bytes=weights.stat().st_size if weights.exists() else 0,
        remarks=remarks,
    )
