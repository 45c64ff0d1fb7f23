"""Other programs in a benchmark: who takes part, why another does not, and that all are ended."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from core.config import BenchConfig
from core.errors import ExportError, RivalError
from core.events import Benchmark, BenchPlanned, RepetitionCompleted, SetupProgressed
from core.measure import opponents
from core.measure.benchmark import benchmark
from core.measure.rivals import RivalTiming
from core.store.stages import Stopped
from core.testing import CPU, byte_tokenizer, tiny_model

TEXT = list(range(30))
QUICK = BenchConfig(
    n=4, reps=2, warmup=0, seconds=0, prompt_tokens=4, engines="torch", caches="static"
)


class Quiet:
    """A program that takes 3 ms to read and 8 ms to write."""

    def __init__(self, name: str, bits: int, threads: int) -> None:
        self.name, self.bits, self.threads, self.version = name, bits, threads or 2, "1.2"
        self.asked: list[tuple[list[int], int]] = []
        self.closed = 0

    def repetition(self, prompt: list[int], n: int) -> RivalTiming:
        self.asked.append((prompt, n))
        return RivalTiming(3.0, 8.0, (0,) * (n + 1), 12.0)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Quiet]:
    made: list[Quiet] = []

    def start(
        name: str, model: Any, tokenizer: Any, *, bits: int, threads: int, is_stopping: Any
    ) -> Generator[SetupProgressed, None, Quiet]:
        yield SetupProgressed(stage=f"writing for {name}")
        if name == "transformers" and bits:
            raise RivalError("It has no bits.", hint="Take another.")
        made.append(Quiet(name, bits, threads))
        return made[-1]

    monkeypatch.setattr(opponents, "start_rival", start)
    return made


def run(**changes: Any) -> tuple[list[Any], Benchmark]:
    work = benchmark(tiny_model(), byte_tokenizer(), TEXT, replace(QUICK, **changes), CPU)
    told = []
    while True:
        try:
            told.append(next(work))
        except StopIteration as end:
            return told, end.value


def test_they_take_turns_with_ours_on_the_same_prompt(started: list[Quiet]) -> None:
    told, result = run(compare=("transformers", "llama.cpp"))
    variants = next(e for e in told if isinstance(e, BenchPlanned)).variants
    assert [v.label for v in variants] == ["torch, KV cache", "transformers", "llama.cpp"]
    assert [(v.threads, v.depth) for v in variants[1:]] == [(2, 4), (2, 4)]
    turns = [e.variant.label for e in told if isinstance(e, RepetitionCompleted)]
    assert [sorted(turns[i : i + 3]) for i in (0, 3)] == [sorted(v.label for v in variants)] * 2
    assert [rival.asked for rival in started] == [[(TEXT[:4], 4)] * 2] * 2
    cells = {(c.variant.rival, c.phase): c for c in result.cells}
    assert cells["llama.cpp", "prefill"].median_ms == 3.0
    assert cells["llama.cpp", "decode"].tokens_per_s == pytest.approx(500.0)
    for key in (("llama.cpp", "decode"), ("transformers", "decode")):
        assert cells[key].proof is cells[key].verdict is None
    pairs = [(r.left.label, r.right.label) for r in result.ratios]
    assert ("torch, KV cache", "llama.cpp") in pairs
    assert result.environment["llama.cpp"] == "1.2"
    assert [rival.closed for rival in started] == [1, 1]
    assert result.speedup == 1.0, "rivals are no speed-up of ours"


def test_each_number_of_bits_and_threads_is_a_process(started: list[Quiet]) -> None:
    model = {"engines": ("torch",), "bits": (0, 8), "threads": (1, 2)}
    _, result = run(compare=("transformers", "llama.cpp"), **model)
    assert [(r.name, r.bits, r.threads) for r in started] == [
        ("transformers", 0, 1),
        ("transformers", 0, 2),
        ("llama.cpp", 0, 1),
        ("llama.cpp", 0, 2),
        ("llama.cpp", 8, 1),
        ("llama.cpp", 8, 2),
    ]
    assert result.skipped.count("It has no bits. Take another.") == 1


def test_prompts_share_a_process_and_other_depths_are_told(started: list[Quiet]) -> None:
    _, result = run(compare=("llama.cpp",), prompt_tokens=(4, 6), depths=(0, 12))
    (rival,) = started
    assert {len(prompt) for prompt, _ in rival.asked} == {4, 6}
    own = [c.variant.depth for c in result.cells if not c.variant.rival and c.phase == "decode"]
    assert own == [4, 6, 12, 12]
    _, result = run(compare=("llama.cpp",), depths=12)
    assert result.skipped == (
        "llama.cpp begins to decode at the end of its prompt, so it has no other depth: give that"
        " as prompt_tokens.",
    )
    assert started[-1].closed == 1


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RivalError("It is not here.", hint="Install it."), "It is not here. Install it."),
        (ExportError("It cannot do this.", hint="Take another --format."), "It cannot do this."),
    ],
)
def test_who_cannot_take_part_is_told_why(
    monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def fail(*_: Any, **__: Any) -> Generator[SetupProgressed, None, Quiet]:
        raise error
        yield

    monkeypatch.setattr(opponents, "start_rival", fail)
    _, result = run(compare=("llama.cpp",))
    assert result.skipped == (told,)


def test_a_stop_while_one_is_started_ends_the_others(
    monkeypatch: pytest.MonkeyPatch, started: list[Quiet]
) -> None:
    start = opponents.start_rival

    def stop(name: str, *args: Any, **how: Any) -> Generator[SetupProgressed, None, Any]:
        if name == "llama.cpp":
            raise Stopped
        return (yield from start(name, *args, **how))

    monkeypatch.setattr(opponents, "start_rival", stop)
    run(compare=("transformers", "llama.cpp"))
    assert [rival.closed for rival in started] == [1]


def test_one_that_ends_while_it_is_timed_is_an_error(
    monkeypatch: pytest.MonkeyPatch, started: list[Quiet]
) -> None:
    def fail(self: Quiet, prompt: Any, n: int) -> RivalTiming:
        raise RivalError("It has ended.", hint="Leave it out.")

    monkeypatch.setattr(Quiet, "repetition", fail)
    with pytest.raises(RivalError, match=r"It has ended\."):
        run(compare=("llama.cpp",))
    assert started[0].closed == 1
