"""What a generation tells."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenChoice:
    """A token that could have come next."""

    id: int
    text: str
    logprob: float
    """Natural log of the model's own probability, before temperature and truncation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedToken:
    """A token that was chosen. Its text is what the stream shows by it, and may be empty
    while a character is not whole."""

    id: int
    text: str
    logprob: float
    top: tuple[TokenChoice, ...]
    """The most likely tokens at this place, best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRead:
    """The prompt is in the cache; the first token comes next."""

    prompt: str
    prompt_tokens: int
    context: int
    """Positions the model can hold."""
    prefill_ms: float
    shared_tokens: int = 0
    """Of the prompt, from its beginning, that the text before it had too; they are not read again
    while the context holds them."""
    note: str = ""
    """Why it is not decoded as it was wished; empty if it is."""
    engine: str = ""
    """That decodes: "torch", "fast" or "graph"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGenerated:
    """One more token."""

    index: int
    """The first one of its continuation is 1."""
    token: GeneratedToken
    tokens_per_s: float
    """Decode so far, of all continuations together, the first token of each left out; 0 while
    there is one token."""
    row: int = 0
    """Which continuation; the first one is 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A text, written. Same fields as `minitf generate --json`."""

    text: str
    """The continuation, without the prompt and without the stop string. It may end with a few
    characters that no token showed, because they could have become a stop string."""
    prompt_tokens: int
    tokens: tuple[GeneratedToken, ...]
    ttft_ms: float
    """From the start of prefill to the first token."""
    tokens_per_s: float
    """Decode alone."""
    stop: str
    """"length" when max_new_tokens were written, "stop string" when the text came to one,
    "end of text" when the model had said all, "stopped" when somebody stopped it."""
    stop_string: str = ""
    """The stop string that ended it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationBatch:
    """Several continuations of one prompt. Same fields as `minitf generate --count N --json`."""

    continuations: tuple[Generation, ...]
    """The i-th one is what its seed, `seed + i`, gives alone."""
    prompt_tokens: int
    ttft_ms: float
    """From the start of prefill to the first token of each."""
    tokens_per_s: float
    """Decode alone, all continuations together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationFinished:
    """The last event of a generation."""

    result: Generation | GenerationBatch
    """A batch when more than one continuation was asked for."""

    @property
    def continuations(self) -> tuple[Generation, ...]:
        """All of them, also when there is one."""
        if isinstance(self.result, Generation):
            return (self.result,)
        return self.result.continuations
