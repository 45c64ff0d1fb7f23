"""What is told of the proof of a way to write."""

from __future__ import annotations

from dataclasses import dataclass

from core.events.benchmarking import Proof


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationProved:
    """The last event of a proof: how near the chosen engine, cache and bits come to the plain
    model, on the prompt of a generation."""

    engine: str
    """That decoded: "torch", "fast" or "graph"."""
    proof: Proof
    note: str = ""
    """Why it is not decoded as it was wished; empty if it is."""
