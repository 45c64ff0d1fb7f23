"""Writing text, as a generator of tokens.

Reading the prompt (prefill) and writing (decode) are timed apart. Several continuations of a
prompt share its prefill and are decoded as one batch; each has dice of its own, so that it is
the text which its seed gives alone. One that has ended leaves the batch.

Shape suffixes: B continuations still being written · V vocab_size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from core.config import SamplingConfig
from core.device import Device
from core.errors import TokenizerError
from core.events import (
    GeneratedToken,
    Generation,
    GenerationBatch,
    GenerationEvent,
    GenerationFinished,
    PromptRead,
    TokenChoice,
    TokenGenerated,
)
from core.infer.decoder import Decoder
from core.infer.engines.choose import make_engine
from core.infer.sampling import make_sampler
from core.infer.streaming import StreamedText
from core.model.transformer import Transformer
from core.text.tokenizer import Tokenizer

N_ALTERNATIVES = 5
_LONGEST_CHARACTER = 4
"""Bytes of UTF-8, and hence at most tokens."""


def generate(
    model: Transformer,
    tokenizer: Tokenizer,
    prompt_ids: Sequence[int],
    config: SamplingConfig,
    device: Device,
    *,
    note: str = "",
    decoder: Decoder | None = None,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Generator[GenerationEvent, None, None]:
    """Continue `prompt_ids`; the last event is `GenerationFinished`.

    Args:
        note: about the model, told beside the engine's own.
        decoder: one of this model and `config`, that may have read another text; what that text
            and the prompt begin with is not read again. None makes one.

    Raises:
        TokenizerError: the prompt has no token.
    """
    decoder = decoder or make_decoder(model, device, config)
    dice = [torch.Generator().manual_seed(config.seed + row) for row in range(config.count)]
    n_held = decoder.go_back_to(prompt_ids)
    writing = write(
        decoder, tokenizer, prompt_ids, config, dice, n_held=n_held, is_stopping=is_stopping
    )
    for event in writing:
        if note and isinstance(event, PromptRead):
            event = replace(event, note=f"{event.note} {note}".strip())
        yield event


def make_decoder(model: Transformer, device: Device, config: SamplingConfig) -> Decoder:
    """A decoder that holds nothing yet, with the engine and the cache that `config` wishes."""
    engine = make_engine(
        model,
        device,
        engine=config.engine,
        cache=config.cache,
        window=config.window,
        sinks=config.sinks,
    )
    return Decoder(engine)


def decoding_of(config: SamplingConfig) -> tuple[object, ...]:
    """What of `config` a decoder is made for."""
    return config.engine, config.cache, config.window, config.sinks


def write(
    decoder: Decoder,
    tokenizer: Tokenizer,
    prompt_ids: Sequence[int],
    config: SamplingConfig,
    dice: Sequence[torch.Generator],
    *,
    n_held: int = 0,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Generator[GenerationEvent, None, None]:
    """Continue what `decoder` holds and then `prompt_ids`, once for each of the `dice`.

    Args:
        n_held: how many of the prompt, from its beginning, `decoder` holds already; not all.

    Raises:
        TokenizerError: the prompt has no token.
    """
    if not len(prompt_ids):
        raise TokenizerError("The prompt has no tokens.", hint="Give at least one character.")
    writing = _Writing(decoder, tokenizer, config, dice)
    yield writing.read(prompt_ids, n_held)
    while True:
        yield from writing.tell()
        if writing.is_complete:
            break
        if is_stopping():
            writing.stop()
            break
        writing.step()
    yield GenerationFinished(result=writing.result())


class _Continuation:
    """One text that is being written."""

    def __init__(self, row: int, dice: torch.Generator, text: StreamedText) -> None:
        self.row, self.dice, self.text = row, dice, text
        self.chosen = -1
        """The newest token, not yet fed to the model."""
        self.tokens: list[GeneratedToken] = []
        self.rest = ""
        """Text after the last token's."""
        self.stop = ""
        """Why it ended; empty while it goes on."""
        self.tokens_per_s = 0.0


class _Writing:
    """Continuations of one prompt, all after the same number of tokens."""

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Tokenizer,
        config: SamplingConfig,
        dice: Sequence[torch.Generator],
    ) -> None:
        self._decoder, self._tokenizer, self._config = decoder, tokenizer, config
        self._sampler = make_sampler(config)
        self._dice = dice
        self._all: list[_Continuation] = []
        self._living: list[_Continuation] = []
        self._logits_BV = torch.empty(0)
        self._prompt_tokens = 0
        self._ttft_ms = self._decode_s = 0.0
        self._decoded = 0

    def read(self, prompt_ids: Sequence[int], n_held: int) -> PromptRead:
        """Prefill once for all of them, and choose their first tokens."""
        began = time.perf_counter()
        logits_V = self._decoder.feed(prompt_ids[n_held:])
        # A prompt may end inside a character, which the first tokens then complete.
        before = self._tokenizer.decode_bytes(self._decoder.rows[0][-_LONGEST_CHARACTER:])
        self._all = [
            _Continuation(row, dice, StreamedText(self._config.stop, before=before))
            for row, dice in enumerate(self._dice)
        ]
        self._living = list(self._all)
        if len(self._all) > 1:
            self._decoder.select([0] * len(self._all))
        self._choose(logits_V.expand(len(self._all), -1))
        self._prompt_tokens = len(prompt_ids)
        self._ttft_ms = 1000 * (time.perf_counter() - began)
        return PromptRead(
            prompt=self._tokenizer.decode_prompt(prompt_ids),
            prompt_tokens=len(prompt_ids),
            context=self._decoder.max_seq_len,
            prefill_ms=self._ttft_ms,
            shared_tokens=n_held,
            note=self._decoder.engine.note,
            engine=self._decoder.engine.name,
        )

    def tell(self) -> Iterator[TokenGenerated]:
        """The newest token of each that is still being written."""
        described = self._describe()
        for one, (logprob, top) in zip(self._living, described, strict=True):
            is_end = one.chosen in self._tokenizer.end_ids
            is_last = is_end or len(one.tokens) + 1 == self._config.max_new_tokens
            data = b"" if is_end else self._tokenizer.decode_bytes([one.chosen])
            shown = one.text.add(data, is_last=is_last)
            token = GeneratedToken(id=one.chosen, text=shown, logprob=logprob, top=top)
            one.tokens.append(token)
            if one.text.stop_string:
                self._end(one, "stop string")
            elif is_last:
                self._end(one, "end of text" if is_end else "length")
            yield TokenGenerated(
                row=one.row, index=len(one.tokens), token=token, tokens_per_s=self._tokens_per_s
            )

    @property
    def is_complete(self) -> bool:
        """None goes on."""
        return all(one.stop for one in self._living)

    def stop(self) -> None:
        """End those that go on, with all text that was held back."""
        for one in self._living:
            if not one.stop:
                one.rest = one.text.add(b"", is_last=True)
                self._end(one, "stopped")

    def step(self) -> None:
        """One more token for each that goes on; the others leave the batch."""
        # The listener's time between two tokens is not the model's.
        began = time.perf_counter()
        kept = [i for i, one in enumerate(self._living) if not one.stop]
        if len(kept) < len(self._living):
            self._decoder.select(kept)
            self._living = [self._living[i] for i in kept]
        self._choose(self._decoder.feed_rows([[one.chosen] for one in self._living]))
        self._decoded += len(self._living)
        self._decode_s += time.perf_counter() - began

    def result(self) -> Generation | GenerationBatch:
        """What was written."""
        texts = tuple(self._generation(one) for one in self._all)
        if len(texts) == 1:
            return texts[0]
        return GenerationBatch(
            continuations=texts,
            prompt_tokens=self._prompt_tokens,
            ttft_ms=self._ttft_ms,
            tokens_per_s=self._tokens_per_s,
        )

    def _choose(self, logits_BV: Tensor) -> None:
        self._logits_BV = logits_BV
        for one, logits_V, ids in zip(self._living, logits_BV, self._decoder.rows, strict=True):
            one.chosen = self._sampler.choose(logits_V, one.dice, ids)

    @torch.inference_mode()
    def _describe(self) -> list[tuple[float, tuple[TokenChoice, ...]]]:
        """The model's own probabilities, whatever the sampler made of them."""
        logprob_BV = self._logits_BV.log_softmax(1)
        best = logprob_BV.topk(min(N_ALTERNATIVES, logprob_BV.size(1)))
        decode = self._tokenizer.decode
        return [
            (
                logprob_BV[i, one.chosen].item(),
                tuple(
                    TokenChoice(id=id, text=decode([id]), logprob=logprob)
                    for id, logprob in zip(ids, logprobs, strict=True)
                ),
            )
            for i, (one, ids, logprobs) in enumerate(
                zip(self._living, best.indices.tolist(), best.values.tolist(), strict=True)
            )
        ]

    @property
    def _tokens_per_s(self) -> float:
        return self._decoded / self._decode_s if self._decode_s else 0.0

    def _end(self, one: _Continuation, why: str) -> None:
        one.stop = why
        one.tokens_per_s = (len(one.tokens) - 1) / self._decode_s if self._decode_s else 0.0

    def _generation(self, one: _Continuation) -> Generation:
        return Generation(
            text="".join(token.text for token in one.tokens) + one.rest,
            prompt_tokens=self._prompt_tokens,
            tokens=tuple(one.tokens),
            ttft_ms=self._ttft_ms,
            tokens_per_s=one.tokens_per_s,
            stop=one.stop,
            stop_string=one.text.stop_string,
        )
