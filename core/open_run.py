"""A run taken from disk, ready to compute with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from core.device import Device, choose_device
from core.errors import CheckpointError, DataError, RunError
from core.model.transformer import Transformer
from core.store.checkpoint import load_weights
from core.store.find import RunRef, find_run
from core.store.run import Run
from core.store.stages import IsStopping, Telling
from core.store.tokenizers import tokenizer_of
from core.store.tokens import TokenizedText, ids_of_text, tokenized_text_of
from core.text.tokenizer import Tokenizer

FIND_TRIES = 5


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A model with the weights of one checkpoint, and what it reads with."""

    run: Run
    step: int
    model: Transformer
    tokenizer: Tokenizer
    device: Device

    def text(self, is_stopping: IsStopping) -> Telling[TokenizedText | None]:
        """The run's corpus, split and tokenised; None if it was stopped.

        Raises:
            RunError: the corpus has changed.
            DataError: it is gone, and so is its copy in the cache.
        """
        return tokenized_text_of(self.run, is_stopping)

    def held_out_ids(
        self, prompt_tokens: int, is_stopping: IsStopping
    ) -> Telling[list[int] | None]:
        """The validation split, which holds a prompt of that many tokens; None if it was stopped.

        Raises:
            DataError: it does not.
        """
        text = yield from self.text(is_stopping)
        if text is None:
            return None
        held_out = text.validation_ids
        if len(held_out) < prompt_tokens:
            raise DataError(
                f"The held-out text has {len(held_out)} tokens, and prompt_tokens={prompt_tokens}.",
                hint=f"Try prompt_tokens={len(held_out)}.",
            )
        return held_out.tolist()

    def ids_to_score(
        self, corpus: str | Path | None, is_stopping: IsStopping
    ) -> Telling[NDArray[Any] | None]:
        """All of any corpus in the run's tokens, or the run's validation split; None if it was
        stopped.

        Raises:
            DataError: it cannot be read.
            TokenizerError: the run's tokenizer has no token for part of it.
        """
        if corpus is not None:
            return (yield from ids_of_text(self.tokenizer, str(corpus), is_stopping))
        text = yield from self.text(is_stopping)
        return None if text is None else text.validation_ids


def prompt_ids(
    found: OpenRun, prompt: str, n: int, is_stopping: IsStopping
) -> Telling[list[int] | None]:
    """The tokens of a prompt, or the first n of the held-out text where it is empty; None if it
    was stopped."""
    if prompt:
        ids: list[int] = found.tokenizer.encode_prompt(prompt).tolist()
        return ids
    text = yield from found.text(is_stopping)
    return None if text is None else text.held_out_prompt(n)


def open_for_use(spec: str, *, device: str, dtype: str, threads: int) -> OpenRun:
    """Load what `spec` means; see `core.store.find.find_run`. A trainer may drop the checkpoint
    that was found while it is being read: then it is looked for again.

    Raises:
        RunError: there is no such run.
        CheckpointError: it has no such checkpoint, or a damaged one.
        DeviceError: this machine lacks the device.
    """
    where = choose_device(device, dtype, threads)
    for _ in range(FIND_TRIES):
        ref = find_run(spec)
        try:
            return _opened(ref, where)
        except CheckpointError as error:
            if ref.run.checkpoint_path(ref.step).is_dir():
                raise
            lost = error
    raise lost


def _opened(ref: RunRef, where: Device) -> OpenRun:
    tokenizer = tokenizer_of(ref.run)
    config = ref.run.config.model
    if config.vocab_size != tokenizer.vocab_size:
        raise RunError(
            f"The tokenizer of {ref.run.name} has {tokenizer.vocab_size} tokens,"
            f" its model {config.vocab_size}.",
            hint="Restore its tokenizer.json or run.toml.",
        )
    model = Transformer(config, seed=None).to(where.type)
    load_weights(ref.run, ref.step, model)
    return OpenRun(ref.run, ref.step, model.eval(), tokenizer, where)
