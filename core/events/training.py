"""What a training run tells."""

from __future__ import annotations

from dataclasses import dataclass

from core.events.baselines import Baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupProgressed:
    """Something that takes a moment begins before the job proper."""

    stage: str
    """What is being done, for a person: "training a tokenizer"."""
    share: float | None = None
    """How much of this stage is done, from 0 to 1, where that is known."""
    remark: str = ""
    """Something about the stage that a person should get to read: "2 files left out: 2 binary"."""


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
    tokens_per_step: int = 0
    """Of all of a step's batches; 0 in runs that are older than this field."""
    is_compiled: bool = False
    """Whether the steps go through PyTorch's compiler."""
    pace_gain: float | None = None
    """How many times as fast as in the way of default a step was when the way of this run was
    chosen; None if nothing was measured."""
    floor_loss: float | None = None
    """The least loss on the validation split, in nats per token: what is random in its text.
    None where the source of the text is not known."""
    floor_se: float | None = None
    """How far luck may have taken `floor_loss` from the entropy of the source."""
    entropy_per_char: float | None = None
    """Of the source, in nats."""


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
    accuracy: float | None = None
    """Share of held-out problems that are solved; None if the text is no task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleCompleted:
    """A piece of text written by the model as it is now."""

    step: int
    prompt: str
    text: str
    """The continuation, without the prompt. Not safe for a terminal before cleaning."""
    answer: str = ""
    """The right one, where the prompt is the question of a task."""

    @property
    def verdict(self) -> str:
        """Whether the model's answer is right, for a person; "" where there is nothing to tell."""
        if not self.answer:
            return ""
        return "right" if self.text == self.answer else f"wrong, it is {self.answer}"


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
class CheckpointFailed:
    """A checkpoint could not be written. Training goes on, and the next one is tried again."""

    step: int
    reason: str
    """The system's: "No space left on device"."""
    kept_step: int | None
    """Of the newest checkpoint that is whole on disk."""


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
class ReturnedToCheckpoint:
    """A number was NaN or infinite, or the loss spiked; the steps after a checkpoint are undone,
    and will be taken again at a lower learning rate."""

    step: int
    """The step that could not be taken, or with which the spike was one."""
    what: str
    """The quantity and its value, as in `Diverged`; of a spike also the value before."""
    to_step: int
    """Of the checkpoint; the next step told is the one after it."""
    lr_factor: float
    """On the schedule's learning rate from here, all returns together."""
    returns: int
    """How many there were in this run, with this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where a replay went another way."""

    step: int
    figure: str
    """"loss", "lr", "grad norm", "tokens", or of a validation: "validation loss"."""
    before: float | None
    """In the run that was replayed; None where it was not finite."""
    now: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstance:
    """Something a computation depends on that is not as it was: a version, threads, the
    processor."""

    name: str
    before: str
    now: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far a replay and the run that it repeats have the same figures, bit for bit."""

    steps: int
    """That were compared: those which the replay has taken."""
    of: int
    """That the run has taken."""
    is_equal: bool
    """Whether all figures of these steps, and of the validations after them, are equal."""
    first_difference: Difference | None = None
    circumstances: tuple[Circumstance, ...] = ()
    """That are not as they were, whether or not they made a difference."""


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
    floor_loss: float | None = None
    """See `RunStarted`."""
    accuracy: float | None = None
    """Of that validation; see `ValidationCompleted`."""
    baselines: tuple[Baseline, ...] = ()
    """What the losses are held against; see `BaselinesCounted`. Empty if none were counted."""
    agreement: Agreement | None = None
    """Of a replay with the run that it repeats; None for any other run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished:
    """The last event of a run that ended well, by its budget or by being stopped."""

    reason: str
    """"budget", "stopped", or "finished already"."""
    result: TrainResult
