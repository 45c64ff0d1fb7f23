"""A text that a person and a model write in turns.

Invariant: `ids` are the text of the dialogue, and the decoder holds a beginning of them. A turn
is the line that was said and what the model made of it; turns are separated by line breaks.
What was read stays read: a turn costs its own tokens only, until the model's context is full.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import torch

from core.config import SamplingConfig
from core.device import Device
from core.errors import TokenizerError
from core.events import GenerationEvent, GenerationFinished, TokenGenerated
from core.infer.decoder import Decoder
from core.infer.generate import decoding_of, make_decoder, write
from core.model.transformer import Transformer
from core.text.tokenizer import Tokenizer

LINE_BREAK = "\n"


@dataclass(frozen=True, slots=True)
class _Turn:
    start: int
    """Tokens before it."""
    ending: str
    """The stop string that ended it, which is not part of the text."""


class Dialogue:
    """One conversation with a model, in a context that grows."""

    def __init__(
        self, model: Transformer, tokenizer: Tokenizer, device: Device, sampling: SamplingConfig
    ) -> None:
        self._model, self._tokenizer, self._device = model, tokenizer, device
        self._sampling = replace(sampling, count=1)
        self._ids: list[int] = []
        self._turns: list[_Turn] = []
        self._decoder = self._new_decoder()
        self._dice = torch.Generator().manual_seed(sampling.seed)

    @property
    def ids(self) -> Sequence[int]:
        """The tokens of all turns."""
        return self._ids

    @property
    def text(self) -> str:
        """All turns, as they follow one another."""
        return self._tokenizer.decode_prompt(self._ids)

    @property
    def sampling(self) -> SamplingConfig:
        """How the next turn is written. A new seed throws the dice anew from there."""
        return self._sampling

    @sampling.setter
    def sampling(self, sampling: SamplingConfig) -> None:
        before, self._sampling = self._sampling, replace(sampling, count=1)
        if sampling.seed != before.seed:
            self._dice.manual_seed(sampling.seed)
        if decoding_of(sampling) != decoding_of(before):
            self._decoder = self._new_decoder()

    def reseed(self, seed: int) -> None:
        """Throw the dice anew, from this seed."""
        self.sampling = replace(self._sampling, seed=seed)
        self._dice.manual_seed(seed)

    def say(
        self, line: str, is_stopping: Callable[[], bool] = lambda: False
    ) -> Generator[GenerationEvent, None, None]:
        """Add a line and let the model continue it; an empty one lets it go on.

        A generator that is closed early keeps what it had told.

        Raises:
            TokenizerError: there is nothing to continue, or the tokenizer lacks a character.
        """
        start = len(self._ids)
        portion = self._extended(line)
        said, ending = len(self._ids), ""
        writing = write(
            self._decoder,
            self._tokenizer,
            portion,
            self._sampling,
            [self._dice],
            is_stopping=is_stopping,
        )
        try:
            for event in writing:
                if isinstance(event, TokenGenerated):
                    self._ids.append(event.token.id)
                elif isinstance(event, GenerationFinished):
                    written = event.continuations[0]
                    ending = written.stop_string
                    if written.stop == "end of text":
                        self._forget(len(self._ids) - 1)
                    self._cut(said, ending)
                yield event
        except GeneratorExit:  # closed between two tokens
            raise
        except BaseException:
            self._decoder = self._new_decoder()  # one layer may be ahead of another
            raise
        finally:
            self._turns.append(_Turn(start, ending))

    def undo(self) -> bool:
        """Take back the last turn, line and reply; False when there is none."""
        if not self._turns:
            return False
        self._forget(self._turns.pop().start)
        return True

    def reset(self) -> None:
        """Forget everything, and throw the dice from the seed again."""
        self._turns.clear()
        self._forget(0)
        self._dice.manual_seed(self._sampling.seed)

    def _new_decoder(self) -> Decoder:
        return make_decoder(self._model, self._device, self._sampling)

    def _forget(self, length: int) -> None:
        del self._ids[length:]
        self._decoder.rewind(min(self._decoder.length, length))

    def _extended(self, line: str) -> list[int]:
        """Take a line into the text; what of the text the decoder has to be fed."""
        added = self._encoded(line)
        if not self._ids and not added:
            raise TokenizerError("The prompt has no tokens.", hint="Give at least one character.")
        self._ids += added
        # The token that is continued is fed, or fed again.
        self._decoder.rewind(min(self._decoder.length, len(self._ids) - 1))
        return self._ids[self._decoder.length :]

    def _encoded(self, line: str) -> list[int]:
        if not self._turns:
            return self._tokenizer.encode_prompt(line).tolist()
        if not line:
            return self._tokenizer.encode_following(self._turns[-1].ending).tolist()
        try:
            between = self._tokenizer.encode_following(LINE_BREAK).tolist()
        except TokenizerError:  # characters only, of a text without line breaks
            between = []
        return between + self._tokenizer.encode_following(line).tolist()

    def _cut(self, said: int, stop_string: str) -> None:
        """Leave the stop string, and what its last token holds after it, out of the text."""
        reply = self._ids[said:]
        data = self._tokenizer.decode_bytes(reply)
        length = data.find(stop_string.encode()) if stop_string else -1
        if length < 0:
            return
        n_whole = n_bytes = 0
        for token in reply:
            size = len(self._tokenizer.decode_bytes([token]))
            if n_bytes + size > length:
                break
            n_whole, n_bytes = n_whole + 1, n_bytes + size
        self._forget(said + n_whole)
        self._ids += self._tokenizer.encode_following(data[n_bytes:length]).tolist()
