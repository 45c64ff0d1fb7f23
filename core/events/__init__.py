"""Everything a running job tells whoever listens. Plain data, safe to hand across threads.

An event holds Python numbers and strings only, never tensors: a listener must not be able
to keep a graph or device memory alive, nor to touch the model while it trains.

The last event of a finished job carries its result; the fields of a result are those of
`--json`. Loss is in nats per token everywhere.
"""

from core.events.machine import Machine, MachineExamined, Speed
from core.events.measuring import (
    BenchCell,
    Benchmark,
    BenchmarkCompleted,
    Evaluation,
    EvaluationCompleted,
    EvaluationProgressed,
    Proof,
    RepetitionCompleted,
)
from core.events.training import (
    CheckpointDue,
    CheckpointSaved,
    Diverged,
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
    GenerationFinished,
    PromptRead,
    TokenChoice,
    TokenGenerated,
)

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
MachineEvent = SetupProgressed | MachineExamined
Event = TrainEvent | EvaluationEvent | GenerationEvent | BenchmarkEvent | MachineEvent

__all__ = [
    "BenchCell",
    "Benchmark",
    "BenchmarkCompleted",
    "BenchmarkEvent",
    "CheckpointDue",
    "CheckpointSaved",
    "Diverged",
    "Evaluation",
    "EvaluationCompleted",
    "EvaluationEvent",
    "EvaluationProgressed",
    "Event",
    "GeneratedToken",
    "Generation",
    "GenerationEvent",
    "GenerationFinished",
    "Machine",
    "MachineEvent",
    "MachineExamined",
    "PromptRead",
    "Proof",
    "RepetitionCompleted",
    "RunFinished",
    "RunStarted",
    "SampleCompleted",
    "SetupProgressed",
    "Speed",
    "StepCompleted",
    "TokenChoice",
    "TokenGenerated",
    "TrainEvent",
    "TrainResult",
    "ValidationCompleted",
]
