"""The step of the graph engine, as it runs where nothing is recorded, against the reference."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import ModelConfig
from core.device import Device
from core.errors import ConfigError
from core.infer.decoder import Decoder
from core.infer.engines import choose
from core.infer.engines.choose import engine_stage, make_engine
from core.infer.engines.engine import Engine
from core.infer.engines.graph_engine import GraphEngine
from core.infer.engines.torch_engine import TorchEngine
from core.model.arithmetic import kv_bytes_per_token
from core.model.transformer import Transformer

CPU = Device("cpu", "float32", 1)
HALF = Device("cpu", "bfloat16", 1)
CUDA = Device("cuda", "bfloat16", 1)
TINY = ModelConfig(vocab_size=40, max_seq_len=24, d_model=32, n_layers=2, n_heads=4, d_ff=40)


def noisy(config: ModelConfig) -> Transformer:
    model = Transformer(config).eval()
    dice = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=dice) * 0.1)
    return model


def pair(config: ModelConfig, device: Device = CPU) -> tuple[TorchEngine, GraphEngine]:
    model = noisy(config)
    return TorchEngine(model, device), GraphEngine(model, device)


def assert_near(left: torch.Tensor, right: torch.Tensor, tolerance: float = 1e-5) -> None:
    assert float((left - right).abs().max()) <= tolerance * max(1.0, float(right.abs().max()))


@st.composite
def configs(draw: st.DrawFn) -> ModelConfig:
    kv_heads = draw(st.sampled_from([1, 2]))
    place = draw(st.sampled_from(["pre", "post"]))
    return replace(
        TINY,
        n_heads=kv_heads * draw(st.sampled_from([1, 2])),
        n_kv_heads=kv_heads,
        d_head=8,
        positions=draw(st.sampled_from(["rope", "sinusoidal", "learned", "none"])),
        rope_dims=draw(st.sampled_from([0, 2])),
        norm_place=place,
        parallel=place == "pre" and draw(st.booleans()),
        qk_norm=draw(st.booleans()),
        tied_head=draw(st.booleans()),
        bias=draw(st.booleans()),
        logit_softcap=draw(st.sampled_from([0.0, 3.0])),
    )


@given(configs(), st.data())
@settings(max_examples=30)
def test_any_config_in_any_portions_gives_the_logits_of_the_model(
    config: ModelConfig, data: st.DataObject
) -> None:
    plain, graph = pair(config)
    for _ in range(5):
        room = config.max_seq_len - plain.length
        if room == 0:
            break
        n = data.draw(st.sampled_from([1, 1, min(room, 7), room]))
        ids = [data.draw(st.lists(st.integers(0, 39), min_size=n, max_size=n))]
        assert_near(graph.feed(ids), plain.feed(ids))
        length = data.draw(st.integers(0, plain.length))
        for engine in (plain, graph):
            engine.rewind(length)
        assert graph.length == length
        assert graph.cache_bytes == length * kv_bytes_per_token(config)


@pytest.mark.parametrize("positions", ["rope", "learned", "sinusoidal", "none"])
def test_writes_the_tokens_of_the_model(positions: str) -> None:
    plain, graph = pair(replace(TINY, positions=positions))
    found: Engine = graph
    assert (found.name, found.cache, found.max_seq_len, found.note) == ("graph", "static", 24, "")
    for engine in (plain, graph):
        engine.feed([[3, 1, 4, 1, 5]])
    assert graph.write(9, 10) == plain.write(9, 10)
    assert graph.write(2, 0) == []
    assert graph.length == plain.length == 15
    for engine in (plain, graph):
        engine.rewind(4)
    assert graph.write(2, 20) == plain.write(2, 20)


def test_many_rows_go_on_from_one_and_back() -> None:
    plain, graph = pair(replace(TINY, n_kv_heads=2))
    for engine in (plain, graph):
        engine.feed([[3, 1, 4]])
        engine.select([0] * 5)
    for row in ([[1], [2], [3], [4], [5]], [[6, 7]] * 5, [[8], [9], [8], [9], [8]]):
        assert_near(graph.feed(row), plain.feed(row))
    for engine in (plain, graph):
        engine.select([4, 1])
    assert_near(graph.feed([[7], [8]]), plain.feed([[7], [8]]))
    for engine in (plain, graph):
        engine.select([1])
    assert graph.write(5, 6) == plain.write(5, 6)


def test_nothing_is_recorded_anew_when_nothing_changes() -> None:
    _, graph = pair(TINY)
    graph.write(1, 1)
    step = graph._run
    graph.select([0])
    assert graph._run is step
    graph.select([0, 0])
    assert graph._run is None


@pytest.mark.parametrize("tied", [True, False])
def test_rounds_to_bfloat16_as_autocast_does(tied: bool) -> None:
    plain, graph = pair(replace(TINY, tied_head=tied, qk_norm=True), HALF)
    for engine in (plain, graph):
        engine.feed([[3, 1, 4, 1, 5]])
    for token in (9, 2, 6):
        assert_near(graph.feed([[token]]), plain.feed([[token]]), 2e-2)
    assert graph.cache_bytes == plain.cache_bytes


def test_what_does_not_fit_is_refused_and_a_decoder_moves_on() -> None:
    plain, graph = pair(TINY)
    for held, ids in ((0, list(range(25))), (24, [1])):
        if held:
            graph.feed([list(range(held))])
        with pytest.raises(ConfigError) as caught:
            graph.feed([ids])
        assert str(caught.value) == "25 tokens do not fit into max_seq_len=24."
    graph.rewind(20)
    with pytest.raises(ConfigError):
        graph.write(1, 5)
    graph.rewind(0)
    graph.feed([[1, 2]])
    plain.feed([[1, 2]])
    written = [Decoder(engine) for engine in (graph, plain)]
    for decoder in written:
        decoder.engine.rewind(0)
    assert written[0].write(3, 60) == written[1].write(3, 60)


def test_a_wish_for_graphs_elsewhere_is_explained() -> None:
    model = noisy(TINY)
    engine = make_engine(model, CPU, engine="graph")
    note = "The graph engine records CUDA graphs, and this device is cpu."
    assert (engine.name, engine.note) == ("torch", note)
    engine = make_engine(model, HALF, engine="graph", cache="none")
    assert engine.note == "The graph engine has the static cache only, not 'none'."
    assert engine_stage(model, CPU, "graph", "static") == ""


def test_on_cuda_it_is_tried_beside_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    model = noisy(TINY)
    ways, reason = choose._ways(model, CUDA, "auto", "static")
    assert (list(ways), reason) == (["torch", "graph"], "")
    ways, reason = choose._ways(model, CUDA, "graph", "static")
    assert (list(ways), reason) == (["graph"], "")
    assert choose._ways(model, CUDA, "auto", "window") == ({}, "")
    _, reason = choose._ways(model, CUDA, "fast", "static")
    assert reason == "The fast engine computes float32 on the CPU, not bfloat16 on cuda."
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    assert len({choose._key(model, CUDA, wish) for wish in ("auto", "graph")}) == 2


def test_a_step_that_cannot_be_recorded_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: GraphEngine, token: int, n: int) -> list[int]:
        raise RuntimeError("CUDA error: operation not permitted.\nCompile with this and that.")

    assert choose._graph(noisy(TINY), CPU).name == "graph"
    monkeypatch.setattr(GraphEngine, "write", refuse)
    engine = choose._graph(noisy(TINY), CPU)
    said = "The graph engine cannot record the step: CUDA error: operation not permitted."
    assert (engine.name, engine.note) == ("torch", said)
