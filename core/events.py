"""Everything a running job tells whoever listens. Plain data, safe to hand across threads.

An event holds Python numbers and strings only, never tensors: a listener must not be able
to keep a graph or device memory alive, nor to touch the model while it trains.

The last event of a finished job carries its result; the fields of a result are those of
`--json`. Loss is in nats per token everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupProgressed:
    """Something that takes a moment begins before the job proper."""

    stage: str
    """What is being done, for a person: "training a tokenizer"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """The run exists on disk and its first step comes next."""

    run: str
    path: str
    step: int
    """Steps already taken: 0, or that of the checkpoint a resumed run starts from."""
    steps: int
    """Budget in steps; 0 is no limit."""
    seconds: float
    """Budget of pure training time; 0 is no limit."""
    n_params: int
    vocab_size: int
    train_tokens: int
    validation_tokens: int
    bytes_per_token: float
    """Of the validation split."""
    context: int
    device: str
    dtype: str
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCompleted:
    """One optimiser step is done."""

    step: int
    """The first one is 1."""
    loss: float
    """Of this step's batch, before the step."""
    lr: float
    grad_norm: float
    """Before clipping."""
    tokens: int
    """Trained on since step 0."""
    tokens_per_s: float
    """Of this step."""
    train_s: float
    """Pure training time since step 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationCompleted:
    """The whole validation split was scored."""

    step: int
    loss: float
    loss_ci95: tuple[float, float]
    perplexity: float
    bits_per_byte: float
    train_s: float
    eval_s: float
    """Time this validation took."""
    is_best: bool
    """Lower than all before it in this run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleCompleted:
    """A piece of text written by the model as it is now."""

    step: int
    prompt: str
    text: str
    """The continuation, without the prompt. Not safe for a terminal before cleaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointDue:
    """Whoever pulls should save now: weights and optimiser are those after `step`."""

    step: int
    val_loss: float | None
    """Of these very weights, if they were validated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSaved:
    """A checkpoint is whole on disk."""

    step: int
    path: str
    save_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Diverged:
    """A number was NaN or infinite; the run ends and its last finite checkpoint stays."""

    step: int
    """The step that could not be taken."""
    what: str
    """The quantity and its value: "loss is nan"."""
    checkpoint_step: int | None
    """Where to go back to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """A run, as far as it went. Same fields as `minitf train --json`."""

    run: str
    path: str
    steps: int
    tokens: int
    """Trained on, repetitions counted."""
    params: int
    context: int
    train_s: float
    """From the first access to training tokens until the weights exist."""
    eval_s: float
    sample_s: float
    save_s: float
    setup_s: float
    """Reading, tokenising, building."""
    wall_s: float
    val_loss: float | None
    """Of the newest validation: of the last step, unless the run was stopped before it."""
    val_perplexity: float | None
    bits_per_byte: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """The last event of a run that ended well, by its budget or by being stopped."""

    reason: str
    """"budget", "stopped", or "finished already"."""
    result: TrainResult


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationProgressed:
    """Part of a text is scored."""

    tokens: int
    of: int
    loss: float
    """Mean so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A text, scored. Same fields as `minitf eval --json`."""

    loss: float
    loss_ci95: tuple[float, float]
    """95 % interval of the mean, from windows of the text as blocks."""
    perplexity: float
    bits_per_byte: float
    top1: float
    """Share of tokens that were the model's first choice."""
    top5: float
    tokens: int
    """Scored, each exactly once. The first token of a text has nothing before it."""
    bytes: int
    """Of the scored tokens, in UTF-8."""
    stride: int
    context: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationCompleted:
    """The last event of an evaluation."""

    run: str
    step: int
    text: str
    """What was scored: "validation split", or a path."""
    result: Evaluation


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGenerated:
    """One more token."""

    index: int
    """The first one is 1."""
    token: GeneratedToken
    tokens_per_s: float
    """Decode so far, the first token left out; 0 while there is one token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A text, written. Same fields as `minitf generate --json`."""

    text: str
    """The continuation, without the prompt."""
    prompt_tokens: int
    tokens: tuple[GeneratedToken, ...]
    ttft_ms: float
    """From the start of prefill to the first token."""
    tokens_per_s: float
    """Decode alone."""
    stop: str
    """"length" when max_new_tokens were written, "stopped" when somebody stopped it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationFinished:
    """The last event of a generation."""

    result: Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class RepetitionCompleted:
    """One whole prefill and decode was timed."""

    cache: str
    """"none" or "static"."""
    index: int
    """The first counted one is 1; warm-ups are 0, -1, ..."""
    of: int
    prefill_ms: float
    decode_ms: float
    tokens: int
    """Decoded in `decode_ms`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchCell:
    """One phase with one kind of cache."""

    cache: str
    phase: str
    """"prefill" or "decode"."""
    depth: int
    """Positions already held when the phase begins."""
    tokens: int
    """Processed in one repetition."""
    mean_ms: float
    sd_ms: float
    """Sample standard deviation (n - 1); 0 with one sample."""
    median_ms: float
    min_ms: float
    samples_ms: tuple[float, ...]
    """One whole phase per repetition."""
    tokens_per_s: float
    """At the median."""
    cache_bytes: int
    """Held for keys and values at the end of the phase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """That the fast path computes what the plain one does."""

    identical_tokens: int
    of: int
    near_ties: int
    """Differing choices whose two best logits were within 1e-4."""
    max_logit_diff: float
    """Largest difference between cached and uncached logits, over the generated text and
    over teacher-forced held-out text."""
    held_out_tokens: int
    """Positions compared on held-out text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """The KV cache, timed and proved. Same fields as `minitf bench --json`."""

    cells: tuple[BenchCell, ...]
    speedup: float
    """Decode without cache over decode with it, at the medians."""
    proof: Proof
    environment: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkCompleted:
    """The last event of a benchmark."""

    run: str
    step: int
    result: Benchmark


TrainEvent = (
    SetupProgressed
    | RunStarted
    | StepCompleted
    | ValidationCompleted
    | SampleCompleted
    | CheckpointDue
    | CheckpointSaved
    | Diverged
    | RunFinished
)
EvaluationEvent = SetupProgressed | EvaluationProgressed | EvaluationCompleted
GenerationEvent = SetupProgressed | PromptRead | TokenGenerated | GenerationFinished
BenchmarkEvent = SetupProgressed | RepetitionCompleted | BenchmarkCompleted
Event = TrainEvent | EvaluationEvent | GenerationEvent | BenchmarkEvent
