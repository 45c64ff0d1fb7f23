"""A conversation with a run, loaded when it is first needed; imports no torch.

conversation = recipes.conversing("last", SamplingConfig(stop=("\\n",)))
for event in conversation.say("Once upon"):
    ...
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING

from core.config import SamplingConfig
from core.events import GenerationEvent, SetupProgressed
from core.openmp import tame_openmp

if TYPE_CHECKING:
    from core.infer.dialogue import Dialogue
    from core.open_run import OpenRun


class Conversation:
    """A person and a run write a text in turns.

    All work, and every error, happens while events are pulled: those of `open`, or those of
    the first `say`.
    """

    def __init__(self, load: Callable[[], OpenRun], sampling: SamplingConfig) -> None:
        self._load = load
        self._sampling = sampling
        self._dialogue: Dialogue | None = None
        self._is_stopping = False

    @property
    def text(self) -> str:
        """All turns so far."""
        return self._dialogue.text if self._dialogue else ""

    @property
    def n_tokens(self) -> int:
        """Tokens of all turns so far."""
        return len(self._dialogue.ids) if self._dialogue else 0

    @property
    def sampling(self) -> SamplingConfig:
        """How the next turn is written; may be replaced between turns. A new seed throws the
        dice anew. Its prompt and count are not used."""
        return self._sampling

    @sampling.setter
    def sampling(self, sampling: SamplingConfig) -> None:
        self._sampling = sampling
        if self._dialogue:
            self._dialogue.sampling = sampling

    def reseed(self, seed: int) -> None:
        """Throw the dice anew, from this seed, also if it is the same."""
        self._sampling = replace(self._sampling, seed=seed)
        if self._dialogue:
            self._dialogue.reseed(seed)

    def open(self) -> Generator[GenerationEvent, None, None]:
        """Load the run.

        Raises:
            MinitfError: it cannot be used.
        """
        if self._dialogue:
            return
        yield SetupProgressed(stage="loading the run")
        tame_openmp()
        from core.infer.dialogue import Dialogue
        from core.infer.engines.choose import engine_stage

        found, wish = self._load(), self._sampling
        if stage := engine_stage(found.model, found.device, wish.engine, wish.cache):
            yield SetupProgressed(stage=stage)
        self._dialogue = Dialogue(found.model, found.tokenizer, found.device, self._sampling)

    def say(self, line: str) -> Generator[GenerationEvent, None, None]:
        """Add a line and let the model continue it; an empty one lets it go on.

        The last event is `GenerationFinished`. Pull from one thread, one turn at a time.

        Raises:
            TokenizerError: there is nothing to continue, or the tokenizer lacks a character;
                the conversation is as it was.
        """
        self._is_stopping = False
        yield from self.open()
        assert self._dialogue is not None
        yield from self._dialogue.say(line, lambda: self._is_stopping)

    def stop(self) -> None:
        """End the turn that is being written, and keep it. Safe from signal handlers."""
        self._is_stopping = True

    def undo(self) -> bool:
        """Take back the last turn, line and reply; False when there is none."""
        return self._dialogue is not None and self._dialogue.undo()

    def reset(self) -> None:
        """Forget all turns, and throw the dice from the seed again."""
        if self._dialogue:
            self._dialogue.reset()
