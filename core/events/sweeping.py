"""What a sweep tells: runs of one config with some fields changed, one after another."""

from __future__ import annotations

from dataclasses import dataclass

Interval = tuple[float, float]
Changes = tuple[tuple[str, str | int | float | bool], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """One run of a sweep."""

    run: str
    changes: Changes
    """`(field, value)`, as the file asks."""
    seed: int
    state: str
    """"planned", "running", "paused", "stopped", "finished", "diverged" or "failed"."""
    val_loss: float | None = None
    """Of the newest validation, nats per token."""
    bits_per_byte: float | None = None
    steps: int = 0
    tokens: int = 0
    """Trained on."""
    params: int = 0
    train_s: float = 0.0
    remark: str = ""
    """Why it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSetting:
    """The runs that differ in nothing but their seed."""

    changes: Changes
    runs: tuple[str, ...]
    finished: int
    val_loss: float | None
    """Mean over the finished seeds."""
    val_loss_sd: float | None
    """Over them (n - 1); None with one."""
    bits_per_byte: float | None
    train_s: float | None
    """Mean."""
    params: int
    state: str
    """"finished", or how many of its runs are what else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingFit:
    """`loss = e + a / params**alpha + b / tokens**beta`, in nats per token."""

    e: float
    a: float
    alpha: float
    b: float
    beta: float
    e_ci95: Interval
    alpha_ci95: Interval
    beta_ci95: Interval
    """From the runs drawn again with replacement."""
    runs: int
    largest_error: float
    """Of a run's loss, as a share of it."""
    params_span: float
    """The largest model has so many times the parameters of the smallest."""
    tokens_span: float
    warnings: tuple[str, ...] = ()
    """What of it means little, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A sweep, as far as it went. Same fields as `minitf sweep --json`."""

    name: str
    path: str
    """Of its file in the data folder."""
    settings: tuple[SweepSetting, ...]
    """The lowest validation loss first."""
    rows: tuple[SweepRow, ...]
    """In the order of the plan."""
    fit: ScalingFit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlanned:
    """Nothing was trained yet."""

    name: str
    rows: tuple[SweepRow, ...]
    """Those that are finished are not trained again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRunBegun:
    """A run comes next; what it tells follows."""

    index: int
    """The first one is 1."""
    of: int
    row: SweepRow


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRunEnded:
    """A run is over, well or not."""

    index: int
    of: int
    row: SweepRow


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepCompleted:
    """The last event of a sweep."""

    result: Sweep
