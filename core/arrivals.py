"""Taking in a model from elsewhere: what it is, who reads it, and the run that it becomes."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from core import paths
from core.config import TextConfig
from core.device import choose_device
from core.errors import ConfigError, FormatError
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

GGUF_MAGIC = b"GGUF"
IDLE: dict[str, tuple[object, str]] = {
    "tokenizer": (None, "a .bin of llama2.c"),
    "corpus": (TextConfig().corpus, "a model without a text of its own"),
    "max_seq_len": (0, "a model from another program"),
}
"""Settings that not every source has a use for: when they are not given, and what has."""


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
        raise FormatError(f"There is no file or folder {source!r}.", hint=_nearest_source(source))
    if is_capsule(path):
        _refuse_idle(tokenizer=tokenizer, corpus=corpus, max_seq_len=max_seq_len)
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
    is_file = path.is_file()  # a pipe may never say anything
    if is_file and path.suffix == ".bin":
        return read_llama2c(path, source, tokenizer, max_seq_len)
    _refuse_idle(tokenizer=tokenizer)
    if (path / "run.toml").is_file():
        raise FormatError(
            f"{source!r} is a run already.", hint="Use it by its path, as in: minitf eval PATH"
        )
    if path.is_dir():
        return read_hf(path, source, max_seq_len)
    if is_file and (path.suffix == ".gguf" or _begins_with(path, GGUF_MAGIC)):
        return read_gguf(path, source, max_seq_len)
    raise FormatError(
        f"{source!r} is none of the files that minitf reads, or a damaged one.",
        hint="Those are a folder of transformers, a .gguf, a .bin of llama2.c and a capsule.",
    )


def _nearest_source(source: str) -> str:
    for prefix in ("https://huggingface.co/", "huggingface.co/", "hf:"):
        if source.startswith(prefix):
            return f"Did you mean {HUB}{source.removeprefix(prefix)}?"
    return (
        "Name a folder of transformers, a .gguf, a .bin of llama2.c, a capsule, or hub:OWNER/NAME."
    )


def _begins_with(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError:
        return False


def _refuse_idle(**given: object) -> None:
    """What was asked for and could change nothing."""
    for name, (default, of) in IDLE.items():
        if name in given and given[name] != default:
            raise ConfigError(
                f"{name}={given[name]} is for {of}, and this is none.", hint="Leave it out."
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
        corpus=run.config.text.corpus,
        bytes=weights.stat().st_size if weights.exists() else 0,
        remarks=remarks,
    )
