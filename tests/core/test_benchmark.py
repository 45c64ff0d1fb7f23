"""A benchmark: what its grid refuses, how long it goes on, what it keeps of each repetition."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest
import torch

from core.config import BenchConfig, ModelConfig
from core.errors import ConfigError
from core.events import (
    Benchmark,
    BenchPlanned,
    CellSettled,
    RepetitionCompleted,
    SetupProgressed,
    Variant,
)
from core.infer.decoder import Decoder
from core.infer.engines.torch_engine import TorchEngine
from core.measure import benchmark as benchmark_module
from core.measure import contestants as contestants_module
from core.measure.benchmark import MOST_WARM_UPS, benchmark
from core.measure.contestants import Gathering
from core.measure.grid import variants_of
from core.measure.proof import Plain
from core.measure.repetition import Repetition
from core.model.transformer import Transformer
from core.testing import CPU, byte_tokenizer, tiny_model

TEXT = list(range(30))
TOKENIZER = byte_tokenizer()
QUICK = BenchConfig(n=4, reps=2, warmup=0, seconds=0, prompt_tokens=4, engines="torch")


def told_by(
    work: Generator[Any, None, Benchmark],
) -> tuple[list[Any], Benchmark]:
    told = []
    while True:
        try:
            told.append(next(work))
        except StopIteration as end:
            return told, end.value


def run(config: BenchConfig, **how: Any) -> tuple[list[Any], Benchmark]:
    return told_by(benchmark(tiny_model(), TOKENIZER, TEXT, config, CPU, **how))


def change(config: BenchConfig = QUICK, **changes: Any) -> BenchConfig:
    return replace(config, **changes)


# The grid.


def variant(**given: Any) -> Variant:
    return replace(variants_of(change(caches="static"), CPU)[0], **given)


def test_a_prompt_longer_than_the_context_is_seen_through_windows() -> None:
    _, result = run(change(prompt_tokens=30, caches="static"))
    assert [cell.depth for cell in result.cells] == [0, 30]
    assert result.cells[1].proof is not None
    assert result.cells[1].proof.passes


def test_only_what_is_missing_altogether_is_told() -> None:
    told, result = run(change(depths=(0, 21), caches=("none", "static"), bits=(0, 8)))
    planned = next(e for e in told if isinstance(e, BenchPlanned))
    assert [v.cache for v in planned.variants] == ["none", "static"]
    assert planned.skipped == result.skipped
    assert set(result.skipped) == {
        "depth=21 and n=4 need 25 positions, and the model has max_seq_len=24.",
        "The torch engine decodes 8-bit weights as float32: no bytes are saved.",
    }


def test_a_grid_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        run(change(depths=500))
    assert str(caught.value) == (
        "No variant can be timed: depth=500 and n=4 need 504 positions, and the model has "
        "max_seq_len=24."
    )
    assert caught.value.hint == "Try smaller depths, and a smaller n."
    with pytest.raises(ConfigError) as caught:
        run(change(depths=21, n=8))
    assert caught.value.hint == "Try n=3."
    with pytest.raises(ConfigError) as caught:
        run(change(engines="torch", bits=8))
    assert caught.value.hint == "Choose others."


def test_an_engine_that_is_not_there_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **how: Any) -> TorchEngine:
        note = "Not today." if how.pop("engine") == "fast" else ""
        return TorchEngine(*args, **how, note=note)

    monkeypatch.setattr(contestants_module, "make_engine", refuse)
    _, result = run(change(engines=("torch", "fast")))
    assert result.skipped == ("Not today.",)


# Its course.


def test_all_take_turns_and_all_is_told() -> None:
    told, result = run(change(caches=("none", "static"), reps=4))
    turns = [(e.variant.cache, e.index) for e in told if isinstance(e, RepetitionCompleted)]
    rounds = [turns[i : i + 2] for i in range(0, len(turns), 2)]
    assert [sorted(part) for part in rounds] == [
        [("none", index), ("static", index)] for index in (1, 2, 3, 4)
    ]
    assert len({tuple(c for c, _ in part) for part in rounds}) == 2, "in both orders"
    assert [type(e) for e in told if not isinstance(e, RepetitionCompleted)] == [
        SetupProgressed,
        BenchPlanned,
        SetupProgressed,
        SetupProgressed,
        *[CellSettled] * 4,
        SetupProgressed,
    ]
    assert [e.stage for e in told if isinstance(e, SetupProgressed)] == [
        "preparing what is timed",
        "proving torch, KV cache",
        *["measuring what this machine can do"] * 2,
    ]
    (ratio,) = result.ratios
    assert (ratio.left.cache, ratio.right.cache) == ("none", "static")
    assert ratio.ci95[0] <= ratio.ratio <= ratio.ci95[1]
    assert result.limits is not None
    assert result.environment["parameters"] == sum(p.numel() for p in tiny_model().parameters())


def test_the_steps_of_a_repetition_add_up_to_it() -> None:
    told, result = run(change(caches="static"))
    done = [e for e in told if isinstance(e, RepetitionCompleted)]
    for event in done:
        assert len(event.steps_ms) == event.tokens == 4
        assert sum(event.steps_ms) == pytest.approx(event.decode_ms)
    assert done[0].interval_ms is None
    assert done[1].interval_ms == result.cells[1].interval_ms


class Paced:
    """A contestant whose repetitions take what a list says."""

    def __init__(self, variant: Variant, times: list[float]) -> None:
        self.variant, self._times, self.closed = variant, itertools.cycle(times), 0

    def repeat(self, is_stopping: Any) -> Repetition:
        return Repetition(prefill_ms=1.0, decode_ms=next(self._times), tokens=4)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(*times: list[float]) -> list[Paced]:
        made = [Paced(variant(cache=c), t) for c, t in zip(("none", "static"), times, strict=False)]

        def gather(self: Gathering, *_: Any) -> Generator[Any, None, None]:
            yield SetupProgressed(stage="preparing what is timed")
            self.contestants += made

        monkeypatch.setattr(Gathering, "gather", gather)
        return made

    return use


def counted(told: list[Any], cache: str) -> int:
    return sum(
        isinstance(e, RepetitionCompleted) and e.index > 0 and e.variant.cache == cache
        for e in told
    )


def test_a_narrow_interval_ends_it_and_a_wide_one_does_not(paced: Any) -> None:
    paced([5.0, 5.001], [3.0])
    told, result = run(change(seconds=1e9, reps=3))
    assert (counted(told, "none"), counted(told, "static")) == (3, 3)
    assert result.speedup == pytest.approx(5.0 / 3.0)
    paced([5.0, 6.0], [3.0])
    told, result = run(change(seconds=1e9, reps=3))
    assert counted(told, "none") == counted(told, "static") > 30, "a ratio needs both"
    low, high = result.cells[1].interval_ms or (0.0, 0.0)
    assert (high - low) / (high + low) <= 0.02
    settled = [e.cell.variant.cache for e in told if isinstance(e, CellSettled)]
    assert settled == ["none", "none", "static", "static"]


def test_the_budget_ends_it_but_never_below_reps(paced: Any) -> None:
    paced([5.0, 50.0], [3.0, 30.0])
    ticks = itertools.count(0, 10)
    told, _ = run(change(seconds=5, reps=7), clock=lambda: float(next(ticks)))
    assert counted(told, "none") == 7, "the time was over long before"
    ticks = itertools.count()
    told, _ = run(change(seconds=20, reps=2, precision=0), clock=lambda: float(next(ticks)))
    assert 15 < counted(told, "static") <= 21


def test_warming_up_goes_on_until_nothing_gets_faster(paced: Any) -> None:
    paced([9.0, 8.0, 7.0, 6.0, 6.0, 6.0], [1.0])
    told, result = run(change(warmup=1, seconds=1e9, reps=2))
    warm = [e for e in told if isinstance(e, RepetitionCompleted) and e.index < 1]
    of_first = [e for e in warm if e.variant.cache == "none"]
    assert [e.index for e in of_first] == [0, -1, -2, -3, -4, -5]
    assert [e.is_stable for e in of_first] == [False] * 5 + [True]
    assert result.cells[0].warm_ups == 6
    assert [e.variant.cache for e in warm].count("static") == 3


def test_warming_up_ends_within_reason(paced: Any) -> None:
    paced([float(x) for x in range(1000, 1, -100)])
    _, result = run(change(warmup=1, seconds=1e9, reps=1, precision=1))
    assert result.cells[0].warm_ups == MOST_WARM_UPS
    ticks = itertools.count()
    _, result = run(change(warmup=2, seconds=1), clock=lambda: float(next(ticks)))
    assert result.cells[0].warm_ups == 2


def test_what_it_started_is_ended_also_when_it_is_closed(paced: Any) -> None:
    made = paced([5.0])
    work = benchmark(tiny_model(), TOKENIZER, TEXT, QUICK, CPU)
    for event in work:
        if isinstance(event, RepetitionCompleted):
            break
    work.close()
    assert made[0].closed == 1


def test_stopping_in_the_middle_leaves_what_was_counted(paced: Any) -> None:
    paced([5.0, 6.0], [3.0, 9.0])
    is_over = [False]
    work = benchmark(
        tiny_model(), TOKENIZER, TEXT, change(seconds=1e9), CPU, is_stopping=lambda: is_over[0]
    )

    def watched() -> Generator[Any, None, Benchmark]:
        seen = []
        while True:
            try:
                seen.append(next(work))
            except StopIteration as end:
                return end.value
            is_over[0] = counted(seen, "static") == 3
            yield seen[-1]

    told, result = told_by(watched())
    assert counted(told, "static") == 3
    assert counted(told, "none") in (2, 3)
    assert [len(cell.samples_ms) for cell in result.cells[2:]] == [3, 3]


# Fewer bits, and an engine that writes in one go.


class Swift(TorchEngine):
    """Called fast, and slow."""

    name = "fast"


@pytest.fixture
def swift(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(*args: Any, **how: Any) -> TorchEngine:
        return (Swift if how.pop("engine") == "fast" else TorchEngine)(*args, **how)

    monkeypatch.setattr(contestants_module, "make_engine", make)


BOTH = ("torch", "fast")


@pytest.mark.usefixtures("swift")
def test_rounded_weights_show_their_cost_and_leave_the_model_alone() -> None:
    model = tiny_model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    config = change(engines=BOTH, caches="static", bits=(0, 8))
    _, result = told_by(benchmark(model, TOKENIZER, TEXT, config, CPU))
    cells = [cell for cell in result.cells if cell.phase == "decode"]
    assert [(c.variant.engine, c.variant.bits) for c in cells] == [
        ("torch", 0),
        ("fast", 0),
        ("fast", 8),
    ]
    exact, rounded = (cell.proof for cell in cells[1:])
    assert exact is not None
    assert rounded is not None
    assert (exact.is_exact, exact.passes) == (True, True)
    assert not rounded.is_exact
    assert rounded.max_logit_diff > 1e-4 > exact.max_logit_diff
    assert rounded.mean_kld > exact.mean_kld
    assert cells[2].is_ranked, "approximate by design is no failure"
    assert all((model.state_dict()[name] == weight).all() for name, weight in before.items())
    assert model.packed == {}
    pairs = [(r.left.label, r.right.label) for r in result.ratios]
    assert pairs == [
        ("torch, KV cache", "fast, KV cache"),
        ("fast, KV cache", "fast, KV cache, 8 bits"),
    ]


@pytest.mark.usefixtures("swift")
def test_what_cannot_be_rounded_is_told() -> None:
    config = ModelConfig(vocab_size=30, max_seq_len=24, d_model=24, n_layers=1, n_heads=2)
    model = Transformer(config, seed=0)
    grid = change(engines="fast", caches="static", bits=4)
    _, result = told_by(benchmark(model, TOKENIZER, TEXT, grid, CPU))
    assert [c.variant.bits for c in result.cells] == [4, 4]
    (remark,) = result.skipped
    assert remark.startswith("4 bits: kept as stored, for a row does not divide into groups of 32")


@pytest.mark.usefixtures("swift")
def test_an_engine_that_writes_in_one_go_has_no_steps() -> None:
    told, result = run(change(engines="fast", caches="static"))
    done = [e for e in told if isinstance(e, RepetitionCompleted)]
    assert [(e.steps_ms, e.tokens) for e in done] == [((), 4)] * 2
    assert result.cells[1].tokens == 4
    assert result.cells[1].cache_bytes == 8 * 2 * kv_bytes(tiny_model().config)


def kv_bytes(config: ModelConfig) -> int:
    return 4 * config.n_layers * config.kv_heads * config.head_dim


def test_a_path_that_lies_is_not_ranked_and_wins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Liar(Swift):
        def feed(self, ids_BT: Any) -> Any:
            return super().feed(ids_BT).flip(-1)

    def make(*args: Any, **how: Any) -> TorchEngine:
        return (Liar if how.pop("engine") == "fast" else TorchEngine)(*args, **how)

    monkeypatch.setattr(contestants_module, "make_engine", make)
    _, result = run(change(engines=BOTH, caches="static"))
    assert [cell.is_ranked for cell in result.cells] == [True, True, False, False]
    assert result.speedup == 1.0


def test_a_numba_that_is_not_there_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(benchmark_module, "version", refuse)
    _, result = run(change(engines="torch", caches="static"))
    assert "numba" not in result.environment


def test_the_plain_model_has_every_position_of_every_window() -> None:
    plain = Plain(tiny_model(), CPU)
    text = (TEXT * 3)[:70]
    decoder = Decoder(TorchEngine(tiny_model(), CPU, cache="none"))
    stepwise = [decoder.feed([token]) for token in text]
    for first in (0, 30):
        found = list(plain.logits(text, first))
        assert len(found) == 70 - first
        for one, other in zip(found, stepwise[first:], strict=True):
            assert torch.allclose(one, other, atol=1e-5)
