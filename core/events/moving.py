"""What the export and the import of a model tell."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A model, written for other programs. Same fields as `minitf export --json`."""

    run: str
    step: int
    format: str
    """"hf", "gguf" or "capsule"."""
    path: str
    """The folder or file, absolute."""
    architecture: str
    """What the other program knows it as: "LlamaForCausalLM", "qwen3"; empty for a capsule."""
    number_type: str
    """"f32", "f16", "q8_0" or "q4_0"."""
    bytes: int
    """Of all files together."""
    remarks: tuple[str, ...] = ()
    """What is not as one would think: sentences for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportCompleted:
    """The last event of an export."""

    result: Export


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """A model from elsewhere, now a run. Same fields as `minitf import --json`."""

    run: str
    path: str
    """Of the run's folder."""
    source: str
    """As it was given."""
    format: str
    """"hf", "gguf", "llama2.c" or "capsule"."""
    architecture: str
    """What its makers call it: "LlamaForCausalLM", "qwen3"; empty for a capsule."""
    step: int
    n_params: int
    vocab_size: int
    context: int
    """Positions the model can hold."""
    corpus: str
    """What it is scored on, and goes on learning from, when nobody names a text."""
    bytes: int
    """Of the weights, as they are kept."""
    remarks: tuple[str, ...] = ()
    """What is not as one would think: sentences for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportCompleted:
    """The last event of an import."""

    result: Import
