"""What an evaluation and a forecast tell."""

from __future__ import annotations

from dataclasses import dataclass

from core.events.baselines import Baseline


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
    floor_loss: float | None = None
    """The least loss on this text, in nats per token; None where its source is not known."""
    baselines: tuple[Baseline, ...] = ()
    """What else was scored on this text, if it is the run's own and they were counted."""
    accuracy: float | None = None
    """Share of the held-out problems that are solved, each answer whole; None if the text is no
    task."""
    problems: int = 0
    """Of which that is the share."""
    cache: str = "none"
    """The KV cache through which the text was read: "window 64", "sinks 4 + 64", "int8", …"""
    cache_cost: float | None = None
    """What the cache adds to the loss, in nats per token, token by token against none."""
    cache_cost_ci95: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationCompleted:
    """The last event of an evaluation."""

    run: str
    step: int
    text: str
    """What was scored: "validation split", or a path."""
    result: Evaluation


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFailed:
    """A result could not be kept with its run; it was told all the same."""

    what: str
    """"evaluation", "benchmark" or "duel"."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastProgressed:
    """One real step was timed."""

    index: int
    """The first counted one is 1; warm-ups are 0, -1, ..."""
    step_ms: float
    share: float
    """Of the time that the forecast may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a run will cost on this machine, from some of its real steps."""

    step_ms: float
    """Mean of the timed steps, rows and update included; warm-ups left out."""
    step_ms_sd: float
    """Sample standard deviation (n - 1); 0 with one step."""
    steps: int
    """Until the nearest budget ends the run."""
    train_s: float
    """Of pure training, with what compiling the steps takes."""
    total_s: float
    """In all: with set-up, health, validations, samples and checkpoints, as if each validation was
    the best so far."""
    setup_s: float
    """Until the first step: loading PyTorch where it was not loaded, the text again, the model; on
    the command line the start of the program, too."""
    tokens: int
    """Trained on, repetitions counted."""
    tokens_per_s: float
    n_params: int
    peak_bytes: int
    """Of tensors, at the peak of a step: on a CPU weights, gradients, moments and what the
    backward pass needs, counted; on a GPU what PyTorch says it allocated."""
    process_bytes: int | None
    """The most that the whole process held in memory while it took these steps and scored, wrote
    and saved: the run's own process will hold about as much. None where the system does not
    tell."""
    disk_bytes: int
    """Of the checkpoints that the run keeps: the last two, and the best if it is another one."""
    final_loss: LossGuess


@dataclass(frozen=True, slots=True, kw_only=True)
class LossGuess:
    """What the last validation may say, before anything was learned."""

    loss: float | None
    """In nats per token; None where nothing can be said."""
    low: float | None
    high: float | None
    """In about 9 of 10 runs like those that the guess is from, the loss was between the two."""
    why: str
    """Where it is from, or why there is none: words that go on after "final loss"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastCompleted:
    """The last event of a forecast."""

    result: Forecast
