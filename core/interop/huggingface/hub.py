"""Models of the Hugging Face hub, fetched by `huggingface_hub` into its own cache.

Only files that hold numbers, settings and tokens are asked for: no pickles, no code. The
download has a thread of its own, so that an end can be asked for while the network is slow.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from threading import Thread
from typing import Any

from core.errors import FormatError
from core.store.stages import IsStopping, Stopped, Telling, telling

HUB = "hub:"
FILES = (
    "model.safetensors",
    "model-*-of-*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
)
DEEPER = "*/*"
"""Belongs to other programs."""
LONGEST_REASON = 200
TIMEOUT_S, POLL_S = 10.0, 0.1
_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)
_LIBRARIES = ("httpx", "httpcore", "requests", "urllib3", "hf_xet")
"""Whose errors are the network's; a digit may follow their names."""


def fetch(name: str, is_stopping: IsStopping) -> Telling[Path]:
    """Download what belongs to a model, or take it from the hub's own cache.

    Args:
        name: OWNER/NAME, or OWNER/NAME@REVISION.

    Raises:
        FormatError: there is no such model, or no way to the hub.
        Stopped: somebody asked for an end; what has come is kept for the next time.
    """
    parts = _NAME.fullmatch(name)
    if not parts or ".." in name:
        raise FormatError(
            f"{HUB}{name} names no model of the hub.",
            hint="Try hub:OWNER/NAME or hub:OWNER/NAME@REVISION.",
        )
    download = Download(parts[1], parts[2])
    folder = yield from telling(f"fetching {name}", download.shares(), is_stopping)
    return folder


def model_name(source: str) -> str:
    """NAME of hub:OWNER/NAME@REVISION."""
    return source.removeprefix(HUB).partition("@")[0].rpartition("/")[2]


class Download(Thread):
    """Fetches one model; the only thread that talks to the hub."""

    def __init__(self, name: str, revision: str | None) -> None:
        super().__init__(name=f"fetch {name}", daemon=True)
        self.model, self.revision = name, revision
        self.is_given_up = False
        self._n_bytes, self._done = 0, 0.0
        self._outcome: Path | Exception = Stopped()

    def shares(self) -> Generator[float | None, None, Path]:
        """Do it, and tell how far it is.

        Raises:
            FormatError: it cannot be done.
        """
        self.start()
        try:
            while self.is_alive():
                self.join(POLL_S)
                yield min(1.0, self._done / self._n_bytes) if self._n_bytes else None
        finally:
            self.is_given_up = True
        if isinstance(self._outcome, Path):
            return self._outcome
        raise self._explained(self._outcome) from self._outcome

    def run(self) -> None:
        """What the thread does."""
        # Its plain downloads ask us about each piece, and so can be ended; those of Xet cannot.
        os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
        try:
            with _silence():
                self._outcome = self._fetch()
        except Exception as error:
            self._outcome = error

    def told(self, n_bytes: float) -> None:
        """That many bytes of the model are there.

        Raises:
            Stopped: nobody waits for the rest.
        """
        self._done = max(self._done, n_bytes)
        if self.is_given_up:
            raise Stopped

    def _fetch(self) -> Path:
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        trouble: Exception | None = None
        try:
            info = HfApi().model_info(
                self.model, revision=self.revision, files_metadata=True, timeout=TIMEOUT_S
            )
            self._n_bytes = _size(info.siblings or [], self.model)
        except Exception as error:
            if not is_of_the_network(error):
                raise
            trouble = error
        try:
            folder = snapshot_download(
                self.model,
                revision=self.revision,
                allow_patterns=list(FILES),
                ignore_patterns=[DEEPER],
                local_files_only=trouble is not None,
                tqdm_class=_bar_of(self),
            )
        except LocalEntryNotFoundError as missing:
            raise trouble or missing from missing
        return Path(folder)

    def _explained(self, error: Exception) -> Exception:
        """What went wrong, for a person; faults of ours as they are."""
        from huggingface_hub import errors as hub

        reason = _reason(error)
        if isinstance(error, hub.LocalEntryNotFoundError) or is_of_the_network(error):
            if self._done:
                return FormatError(
                    f"The way to the hub broke off: {reason}.",
                    hint="Import it again: what has come is kept.",
                )
            return FormatError(
                f"The hub cannot be reached: {reason}.",
                hint="Fetch the folder elsewhere, then: minitf import DIR.",
            )
        if isinstance(error, hub.HFValidationError | hub.HfHubHTTPError):
            return _refusal(error, self.model, self.revision)
        if isinstance(error, OSError):
            return FormatError(
                f"{self.model} cannot be kept: {reason}.",
                hint="HF_HOME=FOLDER keeps the hub's files in another place.",
            )
        return error


def _refusal(error: Exception, model: str, revision: str | None) -> FormatError:
    """What the hub has against it."""
    from huggingface_hub import errors as hub

    if isinstance(error, hub.HFValidationError):
        return FormatError(
            f"The hub has no names like {model}.", hint="Try hub:OWNER/NAME as its page shows it."
        )
    if isinstance(error, hub.GatedRepoError):
        return FormatError(
            f"The makers of {model} want to be asked first.",
            hint=f"Agree at huggingface.co/{model}, and log in: hf auth login.",
        )
    if isinstance(error, hub.RevisionNotFoundError):
        return FormatError(
            f"{model} has no revision {revision}.", hint="Without @REVISION it is the latest."
        )
    if isinstance(error, hub.RepositoryNotFoundError):
        return FormatError(
            f"The hub has no model {model}, or it is private.",
            hint="A private one needs a log-in: hf auth login.",
        )
    return FormatError(f"The hub did not give {model}: {_reason(error)}.", hint="Try again later.")


def is_of_the_network(error: Exception) -> bool:
    """Whether there is no way to the hub; False when it has answered."""
    library = type(error).__module__.split(".")[0].rstrip("0123456789")
    is_answer = getattr(error, "response", None) is not None
    is_ours = library in _LIBRARIES or isinstance(error, ConnectionError | TimeoutError)
    return is_ours and not is_answer


def _reason(error: Exception) -> str:
    """The first sentence of what it says."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return words.strip().splitlines()[0].split(". ")[0].rstrip(".:")[:LONGEST_REASON]


def _size(files: list[Any], model: str) -> int:
    """Bytes of those that are fetched."""
    sizes = {file.rfilename: file.size or 0 for file in files if _is_wanted(file.rfilename)}
    if not any(name.endswith(".safetensors") for name in sizes):
        raise FormatError(
            f"{model} has no model.safetensors.",
            hint="minitf opens no pickles; look for a model in safetensors.",
        )
    return sum(sizes.values())


def _is_wanted(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in FILES) and not fnmatch(name, DEEPER)


def _bar_of(download: Download) -> type[Any]:
    """A progress bar for `huggingface_hub` that is never seen."""
    from huggingface_hub.utils.tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})
            self.counts_bytes = kwargs.get("unit") == "B"

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            download.told(self.n if self.counts_bytes else 0)

    return Bar


@contextmanager
def _silence() -> Generator[None, None, None]:
    """Nothing of it goes to the terminal."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
