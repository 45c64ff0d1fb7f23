"""What bounds decoding: verdicts from given limits, and the measuring of real ones."""

from __future__ import annotations

import dataclasses
import math

import pytest

from core.config import ModelConfig
from core.device import Device
from core.events import Limits, Variant
from core.infer.engines.torch_engine import TorchEngine
from core.measure import limits
from core.measure.limits import count_dispatches, measure_limits, verdict, weights_read
from core.measure.reading import bytes_per_second
from core.model.arithmetic import flops_per_token
from core.model.packed import pack_nearest
from core.model.transformer import Transformer

CPU = Device("cpu", "float32", 2)
CONFIG = ModelConfig(vocab_size=64, d_model=32, n_layers=2, n_heads=4, max_seq_len=32)
CACHED = Variant(
    engine="torch",
    cache="static",
    dtype="float32",
    bits=0,
    threads=1,
    prompt_tokens=4,
    depth=4,
)
UNBOUND = Limits(dispatch_us=1e-6, bytes_per_s=1e18, flops_per_s=1e18)


def test_the_slowest_of_the_three_is_the_bound() -> None:
    cases = {
        "dispatch": (dataclasses.replace(UNBOUND, dispatch_us=5.0), 1e6 / (5 * 40)),
        "bytes": (
            dataclasses.replace(UNBOUND, bytes_per_s=1e6),
            1e6 / (1000 + 10 * 2 * 2 * 32 * 4),
        ),
        "FLOPs": (
            dataclasses.replace(UNBOUND, flops_per_s=1e6),
            1e6 / flops_per_token(CONFIG, 21),
        ),
    }
    for bound, (given, limit) in cases.items():
        found = verdict(given, CONFIG, CACHED, 10, limit / 4, weight_bytes=1000, dispatches=40)
        assert found.bound == bound
        assert math.isclose(found.limit_tokens_per_s, limit)
        assert math.isclose(found.fraction, 0.25)


def test_the_flops_of_a_token_are_those_at_its_depth() -> None:
    attention = [flops_per_token(CONFIG, 2 * depth + 1) for depth in (0, 1, 7)]
    per_position = 4 * CONFIG.n_layers * CONFIG.d_model
    assert [n - attention[0] for n in attention] == [0, per_position, 7 * per_position]


@pytest.mark.parametrize(
    ("changes", "given", "n_bytes"),
    [
        ({}, None, 10 * 512),
        ({"dtype": "bfloat16"}, None, 10 * 256),
        ({"cache": "int8"}, None, 10 * 128),
        ({"cache": "window"}, 700, 700),
        ({"cache": "none"}, None, 0),
    ],
)
def test_bytes_of_a_token_are_the_weights_and_what_its_cache_holds(
    changes: dict[str, str], given: int | None, n_bytes: int
) -> None:
    variant = dataclasses.replace(CACHED, **changes)  # type: ignore[arg-type]
    slow = dataclasses.replace(UNBOUND, bytes_per_s=1e3)
    found = verdict(
        slow, CONFIG, variant, 10, 1.0, weight_bytes=5000, dispatches=1, cache_bytes=given
    )
    assert math.isclose(found.limit_tokens_per_s, 1e3 / (5000 + n_bytes))


def test_without_a_cache_every_position_is_computed_again() -> None:
    slow = dataclasses.replace(UNBOUND, flops_per_s=1e6)
    variant = dataclasses.replace(CACHED, cache="none")
    found = verdict(slow, CONFIG, variant, 10, 1.0, weight_bytes=0, dispatches=1)
    assert math.isclose(found.limit_tokens_per_s, 1e6 / (11 * flops_per_token(CONFIG, 11)))


@pytest.mark.parametrize("tied", [False, True])
def test_a_token_reads_all_weights_but_of_a_table_one_row(tied: bool) -> None:
    model = Transformer(dataclasses.replace(CONFIG, tied_head=tied))
    all_bytes = 4 * sum(p.numel() for p in model.parameters())
    assert weights_read(model) == all_bytes - (0 if tied else 63 * 32 * 4)


def test_packed_weights_count_as_they_are_packed() -> None:
    model = Transformer(CONFIG)
    head = pack_nearest(model.head.weight.detach(), 4, 32)
    before = weights_read(model)
    model.packed = {"head.weight": head}  # type: ignore[assignment]
    assert weights_read(model) == before - 64 * 32 * 4 + head.nbytes
    assert head.nbytes == 64 * 16 + 64 * 2


def test_operations_are_counted_and_the_token_is_forgotten() -> None:
    counts = []
    for n_layers in (1, 2, 3):
        config = dataclasses.replace(CONFIG, n_layers=n_layers)
        engine = TorchEngine(Transformer(config), CPU, cache="static")
        engine.feed([[1, 2, 3]])
        counts.append(count_dispatches(engine))
        assert engine.length == 3
    assert 10 < counts[1] - counts[0] == counts[2] - counts[1] < 60

    class Fast:
        name = "fast"

    assert count_dispatches(Fast()) == 1  # type: ignore[arg-type]


def test_a_limit_is_measured_again_later_and_the_best_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    found = iter([1e9, 3e9, 2e9, 4e9, 4e9])

    def reads(device: Device, n_bytes: int) -> float:
        asked.append(n_bytes)
        return next(found)

    monkeypatch.setattr(limits, "_seen", {})
    monkeypatch.setattr(limits, "bytes_per_second", reads)
    monkeypatch.setattr(limits, "call_seconds", lambda device: [3e-6, 2e-6])
    monkeypatch.setattr(limits, "product_rates", lambda *sides: [1e9, 5e9, 2e9])
    expected = (2.0, 1e9, 5e9)
    for _ in range(2):  # at once it is what it was
        assert dataclasses.astuple(measure_limits(CPU, 1_200_000)) == pytest.approx(expected)
    monkeypatch.setattr(limits, "FRESH_S", -1.0)
    assert [measure_limits(CPU, 1_200_000).bytes_per_s for _ in range(2)] == [3e9, 3e9]
    for n_bytes in (1, 1 << 40):
        measure_limits(CPU, n_bytes)
    assert asked == [*[1_200_000] * 3, 1 << 18, 1 << 28]


@pytest.mark.parametrize("threads", [1, 2])
def test_reading_goes_over_the_bytes_that_it_says(
    monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    now = iter(range(1000))
    monkeypatch.setattr("core.measure.reading.TRY_BYTES", 1 << 17)
    monkeypatch.setattr("core.measure.reading.time.perf_counter", lambda: next(now))
    assert bytes_per_second(Device("cpu", "float32", threads), 1 << 16) == 1 << 17
