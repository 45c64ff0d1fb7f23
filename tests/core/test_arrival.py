"""What comes from elsewhere becomes a run, whole or not at all, and can do what runs can."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from core import api, arrivals, paths, recipes
from core.config import ModelConfig
from core.errors import ConfigError, FormatError, MinitfError
from core.events import ImportCompleted, StepCompleted
from core.interop.foreign import ForeignModel
from core.measure.evaluate import windows
from core.model.transformer import Transformer
from core.store import checkpoint
from core.store.find import find_run
from core.store.summary import list_runs
from core.store.tokens import tokenized_text_of
from core.testing import MODEL_SWITCHES, byte_tokenizer, result_of, tiny_model_config
from core.text.batches import RandomBatches

torch.set_num_threads(1)
VOCAB = 259
"""Three more than the tokenizer has."""
CONFIG = ModelConfig(
    vocab_size=VOCAB,
    max_seq_len=32,
    d_model=32,
    n_layers=2,
    n_heads=4,
    n_kv_heads=2,
    d_ff=48,
    norm="rmsnorm",
    norm_eps=1e-6,
    activation="swiglu",
)


def foreign(config: ModelConfig = CONFIG, **changes: Any) -> ForeignModel:
    """A model with weights of any seed, as a reader would understand it."""
    model = Transformer(config, seed=3)
    given = {name: p.detach().clone() for name, p in model.named_parameters()}
    found = ForeignModel(
        config=config,
        tensors={name: partial(lambda t: t, tensor) for name, tensor in given.items()},
        tokenizer_json=byte_tokenizer().to_json(),
        format="hf",
        architecture="LlamaForCausalLM",
        source="some/model",
        stem="model",
        end_ids=(257,),
        remarks=("Something.",),
    )
    return replace(found, **changes)


def with_tensor(name: str, read: Callable[[], torch.Tensor] | None) -> ForeignModel:
    """A foreign model with one tensor replaced, added or, for None, left out."""
    whole = foreign()
    tensors = {**whole.tensors, name: read}
    return replace(whole, tensors={k: v for k, v in tensors.items() if v is not None})


@pytest.fixture
def arriving(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text_file: str) -> Any:
    """Imports a model as if a reader had read it; returns the result."""

    def arrive(model: ForeignModel | None = None, **given: Any) -> Any:
        monkeypatch.setattr(arrivals, "read", lambda *_: model or foreign())
        session = recipes.importing(tmp_path, **({"name": "it", "corpus": text_file} | given))
        *_, last = session.run()
        assert isinstance(last, ImportCompleted)
        return last.result

    return arrive


def nothing_left() -> bool:
    folder = paths.runs_dir()
    return not folder.exists() or not list(folder.iterdir())


def test_it_becomes_a_run_with_those_very_weights(arriving: Any) -> None:
    model = foreign()
    result = arriving(model)
    run = find_run("it").run
    kept = load_file(run.checkpoint_path(0) / "model.safetensors")
    assert kept.keys() == model.tensors.keys()
    assert all(torch.equal(kept[name], read()) for name, read in model.tensors.items())
    assert run.config.model == CONFIG
    assert run.tokenizer_path.read_text() == model.tokenizer_json
    assert (result.run, result.step, result.format) == ("it", 0, "hf")
    assert (result.architecture, result.remarks) == ("LlamaForCausalLM", ("Something.",))
    assert (result.vocab_size, result.context) == (VOCAB, 32)
    assert result.n_params == sum(tensor.numel() for tensor in kept.values())
    assert result.bytes == (run.checkpoint_path(0) / "model.safetensors").stat().st_size
    facts = run.provenance
    assert (facts["imported_from"], facts["architecture"]) == ("some/model", "LlamaForCausalLM")
    assert (facts["end_ids"], facts["tokenizer"]) == ([257], byte_tokenizer().kind)


@pytest.mark.parametrize("switches", MODEL_SWITCHES.values(), ids=MODEL_SWITCHES)
def test_models_of_every_switch_arrive(arriving: Any, switches: dict[str, Any]) -> None:
    config = tiny_model_config(vocab_size=VOCAB, **switches)
    arriving(foreign(config))
    assert find_run("it").run.config.model == config


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_number_types_become_float32(arriving: Any, dtype: torch.dtype) -> None:
    whole = foreign()
    tensors = {k: partial(lambda r: r().to(dtype), v) for k, v in whole.tensors.items()}
    arriving(replace(whole, tensors=tensors))
    kept = load_file(find_run("it").run.path / "init.safetensors")
    for name, read in whole.tensors.items():
        assert torch.equal(kept[name], read().to(dtype).float())


def test_a_run_without_a_name_is_called_after_its_source(arriving: Any) -> None:
    assert [arriving(name=None).run for _ in range(2)] == ["model", "model-1"]


HEAD = "head.weight"
LAST = "blocks.1.attention.q_proj.weight"
DAMAGED = "The file is damaged, or its configuration is of another model."
UNFINISHED = "Its training diverged, or the file is damaged."
INCOMPLETE = "Fetch the file again, with all of its parts."


def filled(value: float) -> Callable[[], torch.Tensor]:
    tensor = torch.zeros(VOCAB, 32)
    tensor[7, 3] = value
    return lambda: tensor


@pytest.mark.parametrize(
    ("model", "message", "hint"),
    [
        (with_tensor(HEAD, None), "some/model lacks a tensor: head.weight.", INCOMPLETE),
        (with_tensor(LAST, None), f"some/model lacks a tensor: {LAST}.", INCOMPLETE),
        (
            with_tensor("rotary.x", lambda: torch.zeros(1)),
            "some/model holds a tensor that minitf does not know: rotary.x.",
            "Its architecture has parts that minitf lacks.",
        ),
        (
            with_tensor(HEAD, lambda: torch.zeros(VOCAB, 31)),
            "some/model: head.weight has the shape (259, 31), not (259, 32).",
            DAMAGED,
        ),
        (
            with_tensor(HEAD, lambda: torch.zeros(VOCAB, 32, dtype=torch.int8)),
            "some/model: head.weight holds whole numbers.",
            "Import the model as it was before quantisation.",
        ),
        *(
            (
                with_tensor(HEAD, filled(value)),
                "some/model: head.weight holds a number that is not finite.",
                UNFINISHED,
            )
            for value in (math.nan, math.inf, -math.inf)
        ),
        (
            with_tensor(HEAD, lambda: torch.full((VOCAB, 32), 1e300, dtype=torch.float64)),
            "some/model: head.weight holds a number that is not finite.",
            UNFINISHED,
        ),
        (
            foreign(end_ids=(2, 259)),
            "some/model: its text ends with token 259, and it has 259.",
            "Its configuration is damaged, or of another model.",
        ),
        (
            replace(foreign(), config=replace(CONFIG, n_layers=10**9)),
            "some/model lacks a tensor: blocks.999999999.attention.q_proj.weight.",
            INCOMPLETE,
        ),
        (
            replace(foreign(), config=replace(CONFIG, d_ff=10**30)),
            "some/model: no model can have the shape that it tells.",
            DAMAGED,
        ),
    ],
)
def test_what_is_damaged_is_refused_and_leaves_nothing(
    arriving: Any, model: ForeignModel, message: str, hint: str
) -> None:
    with pytest.raises(FormatError) as caught:
        arriving(model)
    assert (str(caught.value), caught.value.hint) == (message, hint)
    assert nothing_left()


def test_a_tokenizer_that_does_not_fit_is_refused(arriving: Any) -> None:
    small = replace(CONFIG, vocab_size=200)
    with pytest.raises(MinitfError):
        arriving(foreign(small, end_ids=()))
    with pytest.raises(MinitfError):
        arriving(foreign(tokenizer_json="{}"))
    assert nothing_left()


def test_a_tokenizer_of_another_size_than_the_model_is_refused(
    arriving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a loader does: ids that the model lacks would end it."""
    from core.interop import arrival

    monkeypatch.setattr(arrival, "load_tokenizer", lambda *_, **__: byte_tokenizer())
    with pytest.raises(FormatError) as caught:
        arriving()
    assert str(caught.value) == "some/model: its tokenizer has 256 tokens, its model 259."
    assert caught.value.hint == "They are not of one model."
    assert nothing_left()


def test_a_name_that_is_taken_is_refused_before_the_work(arriving: Any) -> None:
    arriving()
    with pytest.raises(MinitfError, match="A run named 'it' exists already"):
        arriving(with_tensor(HEAD, None))


def test_a_corpus_that_is_missing_is_refused(arriving: Any) -> None:
    with pytest.raises(MinitfError):
        arriving(corpus="nowhere.txt")
    assert nothing_left()


@pytest.mark.slow
def test_a_corpus_keeps_the_name_that_finds_it_again(arriving: Any, text_file: str) -> None:
    arriving(name="generated", corpus="generated")
    assert find_run("generated").run.config.text.corpus == "generated"
    assert api.evaluate("generated", threads=1).tokens > 1000


def test_an_import_that_is_stopped_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text_file: str
) -> None:
    session: Any = None
    whole, read = foreign(), []

    def stopping(name: str) -> torch.Tensor:
        read.append(name)
        if len(read) == 5:
            session.stop()
        return whole.tensors[name]()

    tensors = {name: partial(stopping, name) for name in whole.tensors}
    monkeypatch.setattr(arrivals, "read", lambda *_: replace(whole, tensors=tensors))
    session = recipes.importing(tmp_path, name="it", corpus=text_file)
    assert not any(isinstance(event, ImportCompleted) for event in session.run())
    assert len(read) == 5
    assert nothing_left()


def test_a_full_disk_leaves_nothing(arriving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any, path: Path, __: Any) -> None:
        path.write_bytes(b"half of it")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", refuse)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        arriving()
    assert nothing_left()


def test_a_source_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    def refused(source: Path | str) -> tuple[str, str]:
        with pytest.raises(FormatError) as caught:
            list(recipes.importing(source, name="it").run())
        return str(caught.value), caught.value.hint

    missing, strange = tmp_path / "missing", tmp_path / "a.onnx"
    strange.write_bytes(b"what is this?")
    assert refused(missing) == (
        f"There is no file or folder {str(missing)!r}.",
        "Name a folder of transformers, a .gguf, a .bin of llama2.c, a capsule, or hub:OWNER/NAME.",
    )
    assert refused("hf:foo/bar")[1] == "Did you mean hub:foo/bar?"
    assert refused("https://huggingface.co/foo/bar")[1] == "Did you mean hub:foo/bar?"
    assert refused(strange) == (
        f"{str(strange)!r} is none of the files that minitf reads, or a damaged one.",
        "Those are a folder of transformers, a .gguf, a .bin of llama2.c and a capsule.",
    )
    strange.write_bytes(b"GGUF and what comes then")  # whatever it is called
    assert "is a GGUF of version" in refused(strange)[0]
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.toml").touch()
    assert refused(run) == (
        f"{str(run)!r} is a run already.",
        "Use it by its path, as in: minitf eval PATH",
    )
    assert nothing_left()


def test_what_could_change_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(ConfigError) as caught:
        list(recipes.importing(path, tokenizer="b.bin").run())
    assert str(caught.value) == "tokenizer=b.bin is for a .bin of llama2.c, and this is none."
    assert caught.value.hint == "Leave it out."


def test_models_of_one_tokenizer_and_ids_of_other_widths_read_the_same_text(
    arriving: Any, text_file: str
) -> None:
    arriving(name="small")
    wide = replace(CONFIG, vocab_size=70_000, d_model=8, n_layers=1)
    arriving(foreign(wide), name="large")
    small, large = (result_of(tokenized_text_of(find_run(n).run)) for n in ("small", "large"))
    assert small.validation_ids.tolist() == large.validation_ids.tolist()
    assert (small.validation_ids.dtype, large.validation_ids.dtype) == (np.uint16, np.uint32)


class TestAgainstTransformers:
    """Training goes on from the loss that the model had where it comes from."""

    @pytest.fixture
    def theirs(self) -> Any:
        from transformers import LlamaConfig, LlamaForCausalLM

        torch.manual_seed(0)
        about = LlamaConfig(
            vocab_size=VOCAB,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=48,
            max_position_embeddings=32,
            rms_norm_eps=1e-6,
            initializer_range=0.3,
            tie_word_embeddings=False,
        )
        return LlamaForCausalLM(about).eval()

    @pytest.fixture
    def run(self, theirs: Any, arriving: Any) -> str:
        given = theirs.state_dict()
        tensors = {_our_name(name): partial(given.__getitem__, name) for name in given}
        arriving(foreign(tensors=tensors))
        return "it"

    @staticmethod
    def loss(theirs: Any, ids: Any) -> float:
        """Of transformers' own: it shifts the labels itself."""
        rows = torch.from_numpy(ids.astype(np.int64))
        with torch.no_grad():
            return float(theirs(input_ids=rows, labels=rows).loss)

    def test_the_first_step_has_their_loss(self, theirs: Any, run: str) -> None:
        steps = [e for e in recipes.resuming(run, steps=1).run() if isinstance(e, StepCompleted)]
        found = find_run(run).run
        text = tokenized_text_of(found)
        train = found.config.train
        inputs, targets = RandomBatches(
            result_of(text).train_ids,
            batch_size=train.batch_size,
            context=train.context,
            seed=train.seed,
        ).at(1)
        expected = self.loss(theirs, np.concatenate([inputs, targets[:, -1:]], axis=1))
        assert steps[0].loss == pytest.approx(expected, abs=1e-5)

    def test_the_held_out_text_has_their_loss(self, theirs: Any, run: str) -> None:
        ids = result_of(tokenized_text_of(find_run(run).run)).validation_ids
        parts = [ids[w.begin : w.end + 1] for w in windows(len(ids), 32, 32)]
        total = sum(self.loss(theirs, part[None]) * (len(part) - 1) for part in parts)
        expected = total / (len(ids) - 1)
        assert api.evaluate(run, threads=1).loss == pytest.approx(expected, abs=1e-5)


def _our_name(theirs: str) -> str:
    for old, new in (
        ("model.embed_tokens", "embedding"),
        ("lm_head", "head"),
        ("model.norm", "final_norm"),
        ("model.layers", "blocks"),
        ("self_attn", "attention"),
        ("input_layernorm", "attention_norm"),
        ("post_attention_layernorm", "feed_forward_norm"),
        ("mlp", "feed_forward"),
    ):
        theirs = theirs.replace(old, new)
    return theirs


class TestAsARun:
    """Everything that a run can do, with a vocabulary larger than its tokenizer's."""

    def test_it_is_the_last_one_worked_on_and_called_imported(
        self, arriving: Any, text_file: str
    ) -> None:
        api.train("quick", name="older", corpus=text_file, steps=1, threads=1, d_model=16)
        metrics = find_run("older").run.path / "metrics.jsonl"
        os.utime(metrics, (1, 1))
        arriving()
        assert find_run("last").run.name == "it"
        newest, older = list_runs()
        assert (newest.state, newest.step, newest.val_loss) == ("imported", 0, None)
        assert (newest.tokenizer, older.tokenizer) == ("byte", "bpe")
        weights = find_run("it").run.path / "init.safetensors"
        assert newest.size_bytes < 2 * weights.stat().st_size, "one file of two names"

    def test_it_is_scored_continued_timed_and_asked(self, arriving: Any, text_file: str) -> None:
        arriving()
        assert math.isfinite(api.evaluate("it", threads=1).loss)
        assert api.evaluate("it", text=text_file, threads=1).tokens > 1000
        assert api.generate("it", max_new_tokens=8, threads=1).tokens
        assert api.generate("it", "The river", max_new_tokens=8, threads=1).tokens
        assert api.benchmark(
            "it", n=8, reps=1, warmup=0, seconds=0, prompt_tokens=4, threads=1
        ).cells
        *_, last = recipes.tokenizing("it", prompt="river").run()
        assert last.result.vocab_size == VOCAB

    def test_it_goes_on_learning_and_is_replayed(self, arriving: Any) -> None:
        arriving()
        done = api.resume("it", steps=8)
        assert (done.steps, list_runs()[0].state) == (8, "finished")
        again = api.replay("it", name="again")
        ends = [load_file(Path(done.path, "init.safetensors").with_name("init.safetensors"))]
        ends += [load_file(Path(again.path) / "init.safetensors")]
        assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
        one, two = (
            load_file(find_run(name).run.checkpoint_path(8) / "model.safetensors")
            for name in ("it", "again")
        )
        assert all(torch.equal(one[name], two[name]) for name in one)
        assert find_run("again").run.provenance["end_ids"] == [257]

    def test_another_run_begins_with_it(self, arriving: Any, text_file: str) -> None:
        arriving()
        api.train("quick", name="tuned", init_from="it", corpus=text_file, steps=1, threads=1)
        run = find_run("tuned").run
        assert run.config.model.vocab_size == VOCAB
        assert (run.provenance["init_from"], run.provenance["end_ids"]) == ("it@0", [257])
        assert run.provenance["architecture"] == "LlamaForCausalLM"
        assert list_runs()[0].state == "finished"
