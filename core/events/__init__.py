"""Everything a running job tells whoever listens. Plain data, safe to hand across threads.

An event holds Python numbers and strings only, never tensors: a listener must not be able
to keep a graph or device memory alive, nor to touch the model while it trains.

The last event of a finished job carries its result; the fields of a result are those of
`--json`. Loss is in nats per token everywhere.
"""

from core.events.baselines import Baseline, BaselinePassed, BaselinesCounted
from core.events.benchmarking import (
    BenchCell,
    Benchmark,
    BenchmarkCompleted,
    BenchPlanned,
    CellSettled,
    Limits,
    Proof,
    Ratio,
    RepetitionCompleted,
    Variant,
    Verdict,
)
from core.events.control import Controlled, Paused
from core.events.dueling import (
    Duel,
    DuelCompleted,
    DuelRound,
    DuelRoundCompleted,
    DuelStarted,
    EqualTime,
    SideTold,
    StepDiffered,
    ValidationDiffered,
)
from core.events.health import AlertRaised, HealthMeasured
from core.events.machine import Machine, MachineExamined, Pace, Speed, WayTimed
from core.events.measuring import (
    Evaluation,
    EvaluationCompleted,
    EvaluationProgressed,
    Forecast,
    ForecastCompleted,
    ForecastProgressed,
    LossGuess,
    ReportFailed,
)
from core.events.moving import Export, ExportCompleted, Import, ImportCompleted
from core.events.proving import GenerationProved
from core.events.quantizing import (
    DecodeSpeed,
    MatrixQuantized,
    Quality,
    Quantization,
    QuantizationCompleted,
)
from core.events.sweeping import (
    ScalingFit,
    Sweep,
    SweepCompleted,
    SweepPlanned,
    SweepRow,
    SweepRunBegun,
    SweepRunEnded,
    SweepSetting,
)
from core.events.tokenizing import ShownToken, Tokenization, TokenizationCompleted
from core.events.training import (
    Agreement,
    CheckpointDue,
    CheckpointFailed,
    CheckpointSaved,
    Circumstance,
    Difference,
    Diverged,
    ReturnedToCheckpoint,
    RunFinished,
    RunStarted,
    SampleCompleted,
    SetupProgressed,
    StepCompleted,
    TrainResult,
    ValidationCompleted,
)
from core.events.writing import (
    GeneratedToken,
    Generation,
    GenerationBatch,
    GenerationFinished,
    PromptRead,
    TokenChoice,
    TokenGenerated,
)

TrainEvent = (
    SetupProgressed
    | RunStarted
    | BaselinesCounted
    | StepCompleted
    | ValidationCompleted
    | BaselinePassed
    | SampleCompleted
    | CheckpointDue
    | CheckpointSaved
    | CheckpointFailed
    | Diverged
    | ReturnedToCheckpoint
    | Controlled
    | Paused
    | HealthMeasured
    | AlertRaised
    | RunFinished
)
EvaluationEvent = SetupProgressed | EvaluationProgressed | EvaluationCompleted | ReportFailed
GenerationEvent = SetupProgressed | PromptRead | TokenGenerated | GenerationFinished
BenchmarkEvent = (
    SetupProgressed
    | BenchPlanned
    | RepetitionCompleted
    | CellSettled
    | BenchmarkCompleted
    | ReportFailed
)
ProvingEvent = SetupProgressed | GenerationProved
ForecastEvent = SetupProgressed | ForecastProgressed | ForecastCompleted
MachineEvent = SetupProgressed | MachineExamined
TokenizationEvent = SetupProgressed | TokenizationCompleted
ExportEvent = SetupProgressed | ExportCompleted
ImportEvent = SetupProgressed | ImportCompleted
QuantizationEvent = SetupProgressed | MatrixQuantized | QuantizationCompleted
DuelEvent = (
    SetupProgressed
    | DuelStarted
    | SideTold
    | StepDiffered
    | ValidationDiffered
    | DuelRoundCompleted
    | DuelCompleted
    | ReportFailed
)
SweepEvent = TrainEvent | SweepPlanned | SweepRunBegun | SweepRunEnded | SweepCompleted
Event = (
    TrainEvent
    | EvaluationEvent
    | GenerationEvent
    | BenchmarkEvent
    | ProvingEvent
    | ForecastEvent
    | MachineEvent
    | TokenizationEvent
    | ExportEvent
    | ImportEvent
    | QuantizationEvent
    | DuelEvent
    | SweepEvent
)

__all__ = [
    "Agreement",
    "AlertRaised",
    "Baseline",
    "BaselinePassed",
    "BaselinesCounted",
    "BenchCell",
    "BenchPlanned",
    "Benchmark",
    "BenchmarkCompleted",
    "BenchmarkEvent",
    "CellSettled",
    "CheckpointDue",
    "CheckpointFailed",
    "CheckpointSaved",
    "Circumstance",
    "Controlled",
    "DecodeSpeed",
    "Difference",
    "Diverged",
    "Duel",
    "DuelCompleted",
    "DuelEvent",
    "DuelRound",
    "DuelRoundCompleted",
    "DuelStarted",
    "EqualTime",
    "Evaluation",
    "EvaluationCompleted",
    "EvaluationEvent",
    "EvaluationProgressed",
    "Event",
    "Export",
    "ExportCompleted",
    "ExportEvent",
    "Forecast",
    "ForecastCompleted",
    "ForecastEvent",
    "ForecastProgressed",
    "GeneratedToken",
    "Generation",
    "GenerationBatch",
    "GenerationEvent",
    "GenerationFinished",
    "GenerationProved",
    "HealthMeasured",
    "Import",
    "ImportCompleted",
    "ImportEvent",
    "Limits",
    "LossGuess",
    "Machine",
    "MachineEvent",
    "MachineExamined",
    "MatrixQuantized",
    "Pace",
    "Paused",
    "PromptRead",
    "Proof",
    "ProvingEvent",
    "Quality",
    "Quantization",
    "QuantizationCompleted",
    "QuantizationEvent",
    "Ratio",
    "RepetitionCompleted",
    "ReportFailed",
    "ReturnedToCheckpoint",
    "RunFinished",
    "RunStarted",
    "SampleCompleted",
    "ScalingFit",
    "SetupProgressed",
    "ShownToken",
    "SideTold",
    "Speed",
    "StepCompleted",
    "StepDiffered",
    "Sweep",
    "SweepCompleted",
    "SweepEvent",
    "SweepPlanned",
    "SweepRow",
    "SweepRunBegun",
    "SweepRunEnded",
    "SweepSetting",
    "TokenChoice",
    "TokenGenerated",
    "Tokenization",
    "TokenizationCompleted",
    "TokenizationEvent",
    "TrainEvent",
    "TrainResult",
    "ValidationCompleted",
    "ValidationDiffered",
    "Variant",
    "Verdict",
    "WayTimed",
]
