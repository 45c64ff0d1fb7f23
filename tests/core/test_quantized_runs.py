"""A quantised run, from its making to every use of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import core
from core import recipes
from core.config import QuantizeConfig, SamplingConfig
from core.errors import CheckpointError, FormatError, MinitfError
from core.events import GenerationProved, MatrixQuantized, Quantization
from core.interop.capsule.check import read_settings
from core.open_run import open_for_use
from core.store.find import find_run
from core.store.run import Run
from core.store.summary import summarise
from core.testing import tiny_run_config

SMALL = {"calibration_tokens": 256, "eval_tokens": 4000}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{n} bottles stand on the wall.\n" for n in range(400)))
    return path


@pytest.fixture
def trained(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("MINITF_HOME", str(tmp_path / "home"))
    config = tiny_run_config(str(corpus), d_model=32, d_ff=64)
    return find_run(core.train(config, name="whole").run).run


@pytest.fixture
def made(trained: Run) -> Quantization:
    return core.quantize("whole", "small", bits=4, **SMALL)


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(MinitfError) as found:
        work()
    return f"{found.value} {found.value.hint}"


def test_a_run_of_its_own_with_a_report(trained: Run) -> None:
    told: list[object] = []
    found = core.quantize("whole", "small", bits=4, on_event=told.append, **SMALL)
    packed = [event for event in told if isinstance(event, MatrixQuantized)]
    assert [event.index for event in packed] == list(range(1, found.matrices + 1))
    assert packed[-1].of == found.matrices == 8
    assert (found.run, found.from_run, found.from_step) == ("small", "whole", 4)
    assert (found.bits, found.group_size, found.symmetric, found.head_bits) == (4, 32, True, 8)
    assert (found.calibration, found.text) == ("training text", "validation split")
    assert found.calibration_tokens == 256
    assert found.bytes_after < found.bytes_before / 2
    assert found.quality.kld > 0
    assert found.speed.after_tokens_per_s > 0
    run = find_run("small").run
    file = run.checkpoint_path(4) / "model.safetensors"
    assert found.bytes_after < file.stat().st_size < found.bytes_after + 8192
    about = run.provenance["quantization"]
    assert (about["bits"], about["from_run"], about["from_step"]) == (4, "whole", 4)
    assert run.reports("quantizations")[0]["quality"]["kld"] == found.quality.kld
    assert summarise(run).state == "int4"


def test_what_the_report_says_is_what_eval_says(made: Quantization) -> None:
    before, after = core.evaluate("whole"), core.evaluate("small")
    assert made.quality.tokens == before.tokens
    assert made.quality.loss_before == pytest.approx(before.loss, abs=1e-5)
    assert made.quality.loss_after == pytest.approx(after.loss, abs=1e-5)
    assert summarise(find_run("small").run).bits_per_byte == pytest.approx(after.bits_per_byte)


def test_a_part_of_the_held_out_text_is_no_validation(trained: Run) -> None:
    core.quantize("whole", "part", eval_tokens=100, calibration_tokens=256)
    assert summarise(find_run("part").run).val_loss is None
    assert summarise(find_run("part").run).state == "int8"


def test_a_name_is_found_where_nobody_gives_one(trained: Run) -> None:
    assert core.quantize("whole", **SMALL).run == "whole-int8"


def test_its_packed_matrices_are_those_that_its_weights_stand_for(made: Quantization) -> None:
    model = open_for_use("small", device="cpu", dtype="float32", threads=1).model
    assert len(model.packed) == made.matrices
    for name, matrix in model.packed.items():
        assert torch.equal(model.get_parameter(name), matrix.dequantize())
    assert open_for_use("whole", device="cpu", dtype="float32", threads=1).model.packed == {}


@pytest.mark.parametrize("engine", ["torch", "fast"])
def test_its_codes_are_multiplied_as_nearly_as_can_be(made: Quantization, engine: str) -> None:
    sampling = SamplingConfig(prompt="9 bottles", max_new_tokens=4, engine=engine)
    *_, told = recipes.proving("small", sampling).run()
    assert isinstance(told, GenerationProved)
    assert (told.engine, told.note) == (engine, "")
    assert told.proof.is_exact == (engine == "torch")


def test_every_command_takes_it(made: Quantization, tmp_path: Path) -> None:
    assert core.generate("small", "9 bottles", max_new_tokens=3).tokens
    written = core.export_model("small", tmp_path / "out-hf", format="hf")
    assert written.remarks[-1] == (
        "The run is quantised: what was written are the numbers that its codes stand for, not the"
        " codes."
    )
    begun = core.train(tiny_run_config(str(tmp_path / "text.txt")), name="begun", init_from="small")
    assert begun.steps == 4
    assert open_for_use("begun", device="cpu", dtype="float32", threads=1).model.packed == {}


def test_what_would_train_on_it_is_refused(made: Quantization, tmp_path: Path) -> None:
    said = (
        "The run small is quantised: it cannot be resumed, replayed or put into a capsule."
        " minitf train --init-from small begins a new run from its weights."
    )
    assert refused(lambda: core.resume("small", steps=9)) == said
    assert refused(lambda: core.replay("small")) == said
    assert refused(lambda: core.export_model("small", tmp_path / "c.tar.gz")) == said
    assert not (tmp_path / "c.tar.gz").exists()
    assert refused(lambda: core.quantize("small")) == (
        "The run small is quantised already."
        " Quantise the run that it was made from: minitf runs show tells which."
    )
    assert refused(lambda: core.quantize("whole", "small")).startswith("A run named 'small'")


def test_a_capsule_of_one_is_damaged(made: Quantization) -> None:
    with pytest.raises(FormatError, match="its run is quantised"):
        read_settings(find_run("small").run.path, "x.tar.gz")


def test_a_run_whose_text_is_gone_is_measured_on_a_text_of_its_own(
    trained: Run, corpus: Path, tmp_path: Path
) -> None:
    corpus.write_text("Something else.")
    for kept in (tmp_path / "home").rglob("tokens/*"):
        kept.unlink()
    found = core.quantize("whole", "alone", calibration_tokens=256, eval_tokens=64)
    assert (found.calibration, found.text) == ("generated text", "generated text")
    assert found.remarks[-1].endswith("so the model was measured on a text of its own.")
    assert summarise(find_run("alone").run).val_loss is None


def test_stopped_on_the_way_nothing_is_left(trained: Run, tmp_path: Path) -> None:
    session = recipes.quantizing("whole", QuantizeConfig(**SMALL), name="small")  # type: ignore[arg-type]
    for event in session.run():
        if isinstance(event, MatrixQuantized):
            session.stop()
    assert [path.name for path in (tmp_path / "home" / "runs").iterdir()] == ["whole"]


HEAD, Q = "head.weight", "blocks.0.attention.q_proj.weight"
DAMAGES = {
    f"{Q}.scales is missing": lambda t: t.pop(f"{Q}.scales"),
    f"{Q}.codes are (32, 16) torch.float32": lambda t: t.update({f"{Q}.codes": torch.ones(32, 16)}),
    f"{Q}.scales are (32, 3)": lambda t: t.update({f"{Q}.scales": torch.ones(32, 3).half()}),
    f"{Q}: 32 columns do not divide": None,
    f"{HEAD}.scales hold a number that is not finite": lambda t: t[f"{HEAD}.scales"].fill_(
        math.nan
    ),
    f"{HEAD} is there twice, packed and as it is": lambda t: t.update({HEAD: torch.ones(2, 32)}),
    f"{HEAD}.codes go below -127": lambda t: t[f"{HEAD}.codes"].fill_(-128),
    f"{HEAD}.zeros are there, and 8 bits have none": lambda t: t.update(
        {f"{HEAD}.zeros": torch.ones_like(t[f"{HEAD}.scales"])}
    ),
    "The scales of a packed matrix": lambda t: t.update({f"{Q}.scales": torch.ones(32, 1)}),
    "The zeros of a packed matrix": lambda t: t.update({f"{Q}.zeros": torch.ones(3, 1).half()}),
    f"{Q} is (64, 32), not (32, 32)": lambda t: t.update(
        {
            f"{Q}.codes": torch.ones(64, 16, dtype=torch.uint8),
            f"{Q}.scales": torch.ones(64, 1).half(),
        }
    ),
    f"{Q}.zeros is not part of the model": lambda t: (
        t.update({f"{Q}.zeros": torch.ones(1), Q: torch.ones(32, 32)}),
        t.pop(f"{Q}.codes"),
        t.pop(f"{Q}.scales"),
    ),
}
del DAMAGES[f"{Q}: 32 columns do not divide"]


@pytest.mark.parametrize("what", DAMAGES)
def test_damaged_parts_are_told(made: Quantization, what: str) -> None:
    path = find_run("small").run.checkpoint_path(4) / "model.safetensors"
    tensors = load_file(path)
    DAMAGES[what](tensors)
    save_file(tensors, path)
    with pytest.raises(CheckpointError) as found:
        open_for_use("small", device="cpu", dtype="float32", threads=1)
    said = f"{found.value}"
    assert what in said
    assert said.startswith("The checkpoint at step 4 of small does not fit: ")


def test_the_state_of_its_checkpoint_is_whole(made: Quantization) -> None:
    run = find_run("small").run
    state = json.loads((run.checkpoint_path(4) / "state.json").read_bytes())
    assert state["step"] == 4
    assert run.best_validation() is not None
