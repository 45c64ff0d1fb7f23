"""Capsules of files that no run could have: nothing of them is left behind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from core import api, paths
from core.config import RunConfig
from core.store.find import run_names
from tests.core.capsule_files import (
    LAST,
    Files,
    exported,
    files_of,
    packed,
    refused,
    restored,
    retold,
)
from tests.core.capsule_files import config as config
from tests.core.capsule_files import files as files
from tests.core.capsule_files import whole as whole


def test_words_of_others_are_cut_short(files: Files, tmp_path: Path) -> None:
    changed = retold(
        files, "run.toml", replaced('tokenizer = "byte"', f'tokenizer = "{"x" * 999}"')
    )
    words = refused(packed(tmp_path / "a.tar.gz", changed))
    assert words.endswith("xxx…")
    assert len(words) == 241


def replaced(old: str, new: str) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        assert old.encode() in data
        return data.replace(old.encode(), new.encode())

    return change


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("format = 1", "format = 2", "run.toml cannot be read (made by another version of minitf)"),
        ("format = 1", "format = ", "run.toml cannot be read ("),
        ("[model]", "[modal]", "run.toml cannot be read (The config has no table [modal].)"),
        ("d_model = 16", "d_model = -1", "run.toml cannot be read (d_model=-1 "),
        ("d_model = 16", 'd_model = "a"', "run.toml cannot be read (d_model='a' "),
        ("threads = 1\ncores", "cores", "run.toml does not say threads"),
        ("threads = 1\ncores", "threads = 0\ncores", "it was trained on 0 threads"),
        ("n_params = ", "n_params = 1", "n_params is not the size of its model"),
        ("n_params = ", "x = ", "run.toml does not say n_params"),
        ("corpus_sha256 = ", "corpus_sha255 = ", "run.toml does not say corpus_sha256"),
        ("[provenance]", '[provenance]\nend_ids = ["a"]', "its end_ids are no list of tokens"),
        ("n_layers = 1", "n_layers = 100000", "its model has 100000 layers, and 1024 at most"),
        ("d_model = 16", "d_model = 1000000", "its model has 44"),
        ("max_seq_len = 32", "max_seq_len = 9000000", "its model has 9000000 positions"),
        ("vocab_size = 256", "vocab_size = 200", "its tokenizer has 256 tokens, and its model 200"),
        (
            "[provenance]",
            '[provenance]\ninit_sha256 = "0"',
            "run.toml and init.safetensors do not fit",
        ),
    ],
)
def test_settings_that_cannot_be(
    files: Files, tmp_path: Path, old: str, new: str, words: str
) -> None:
    changed = retold(files, "run.toml", replaced(old, new))
    assert refused(packed(tmp_path / "a.tar.gz", changed)).startswith(words)


def test_another_text(files: Files, tmp_path: Path) -> None:
    words = "its text is not the one that it was trained on"
    assert refused(packed(tmp_path / "a.tar.gz", files | {"corpus.txt": b"x" * 999})) == words


def test_a_text_that_is_no_text(files: Files, tmp_path: Path) -> None:
    text = b"\xff" * 99
    before = hashlib.sha256(files["corpus.txt"]).hexdigest()
    changed = retold(files, "run.toml", replaced(before, hashlib.sha256(text).hexdigest()))
    path = packed(tmp_path / "a.tar.gz", changed | {"corpus.txt": text})
    assert refused(path) == "corpus.txt is no text"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "tokenizer.json cannot be used ("),
        (b"\xff", "tokenizer.json cannot be read"),
        (b"[" * 100_000, "tokenizer.json cannot be "),
    ],
)
def test_a_tokenizer_that_cannot_be_used(
    files: Files, tmp_path: Path, data: bytes, words: str
) -> None:
    path = packed(tmp_path / "a.tar.gz", files | {"tokenizer.json": data})
    assert refused(path).startswith(words)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"event": "StepCompleted", "step": 1}', "a StepCompleted whose loss is missing"),
        (
            '{"event": "ValidationCompleted", "step": 1, "loss": "low"}',
            'a ValidationCompleted whose loss is "low"',
        ),
        (
            '{"event": "SampleCompleted", "step": 1, "prompt": "", "text": 7}',
            "a SampleCompleted whose text is 7",
        ),
        (
            '{"event": "CheckpointSaved", "step": 9223372036854775808, "path": "", "save_s": 0}',
            "a CheckpointSaved whose step is 9223372036854775808",
        ),
        (
            '{"event": "ValidationCompleted", "step": 1, "loss": 1, "loss_ci95": [1]}',
            "a ValidationCompleted whose loss_ci95 is [1]",
        ),
        ('{"event": "Diverged", "step": 1, "what": [1]}', "a Diverged whose what is [1]"),
    ],
)
def test_metrics_that_nobody_could_read(
    files: Files, tmp_path: Path, line: str, words: str
) -> None:
    changed = retold(files, "metrics.jsonl", lambda data: data + line.encode() + b"\n")
    told = refused(packed(tmp_path / "a.tar.gz", changed))
    assert told.startswith(f"metrics.jsonl has {words}")


@pytest.mark.parametrize("line", [b"x\n", b"[1]\n", b"\n", b"\xff\n", b"[" * 100_000 + b"\n"])
def test_a_line_of_metrics_that_is_no_event(files: Files, tmp_path: Path, line: bytes) -> None:
    lines = files["metrics.jsonl"].count(b"\n")
    path = packed(tmp_path / "a.tar.gz", retold(files, "metrics.jsonl", lambda d: d + line))
    assert refused(path) == f"line {lines + 1} of metrics.jsonl cannot be read"


def test_a_line_of_metrics_without_an_end(files: Files, tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar.gz", files | {"metrics.jsonl": b" " * (3 << 20)})
    assert refused(path) == "line 1 of metrics.jsonl is too long"


def test_a_run_without_metrics_is_taken(files: Files, tmp_path: Path) -> None:
    del files["metrics.jsonl"]
    assert restored(packed(tmp_path / "a.tar.gz", files)).step == 4


def test_a_torn_last_line_and_lines_of_a_later_version_are_taken(
    files: Files, tmp_path: Path
) -> None:
    tail = b'{"event": "Sung", "step": 4}\n{"event": "StepC'
    path = packed(tmp_path / "a.tar.gz", retold(files, "metrics.jsonl", lambda d: d + tail))
    assert restored(path).run == "a"
    assert api.resume("a", steps=6).steps == 6


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("rates.json", b"{"),
        ("rates.json", b'{"format": 1, "rates": [[]]}'),
        ("evaluations/a.json", b"{"),
        ("benchmarks/a.json", b"[1]"),
        ("benchmarks/a.json", b"[" * 100_000),
    ],
)
def test_other_files_that_cannot_be_read(
    files: Files, tmp_path: Path, name: str, data: bytes
) -> None:
    path = packed(tmp_path / "a.tar.gz", files | {name: data})
    assert refused(path) == f"{name.rpartition('/')[2]} cannot be read"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"format": 1', '"format": 2', "state.json of step 4 cannot be read"),
        ('"step": 4', '"step": 5', "state.json of step 4 cannot be read"),
        ('"tokens": ', '"tokens": "1", "x": ', "state.json of step 4 lacks a number"),
        ('"loss": ', '"loss": "1", "x": ', "state.json of step 4 lacks a number"),
        ('"train": ', '"train": [], "x": ', "state.json of step 4 lacks a number"),
        ('"spent_s": ', '"x": ', "state.json of step 4 lacks a number"),
    ],
)
def test_a_state_that_nobody_could_go_on_from(
    files: Files, tmp_path: Path, old: str, new: str, words: str
) -> None:
    changed = retold(files, f"{LAST}/state.json", replaced(old, new))
    assert refused(packed(tmp_path / "a.tar.gz", changed)) == words


def tensors_changed(change: Callable[[dict[str, torch.Tensor]], object]) -> Any:
    def changed(data: bytes) -> bytes:
        tensors = load(data)
        change(tensors)
        return save(tensors)

    return changed


def spoil(name: str, value: float) -> Any:
    return tensors_changed(lambda tensors: tensors[name].view(-1)[0].fill_(value))


EMBEDDING = "embedding.weight"


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        (
            "model",
            spoil(EMBEDDING, float("nan")),
            "embedding.weight in model.safetensors of step 4 holds a number that is not finite",
        ),
        (
            "state",
            spoil(f"{EMBEDDING}.exp_avg", float("inf")),
            "embedding.weight.exp_avg in state.safetensors of step 4 holds a number that is not"
            " finite",
        ),
        (
            "model",
            tensors_changed(lambda t: t.pop(EMBEDDING)),
            "model.safetensors of step 4 has not the tensors of its model: embedding.weight",
        ),
        (
            "state",
            tensors_changed(lambda t: t.update(extra=torch.zeros(1))),
            "state.safetensors of step 4 has not the tensors of its model: extra",
        ),
        (
            "model",
            tensors_changed(lambda t: t.update({EMBEDDING: torch.zeros(3, 3)})),
            "embedding.weight in model.safetensors of step 4 has another shape or type",
        ),
        (
            "model",
            tensors_changed(lambda t: t.update({EMBEDDING: t[EMBEDDING].half()})),
            "embedding.weight in model.safetensors of step 4 has another shape or type",
        ),
        ("model", lambda data: data[:-4], "model.safetensors of step 4 is damaged"),
        ("state", lambda data: b"\xff" * 64, "state.safetensors of step 4 is damaged"),
    ],
)
def test_tensors_that_are_not_those_of_the_model(
    files: Files, tmp_path: Path, file: str, change: Callable[[bytes], bytes], words: str
) -> None:
    changed = retold(files, f"{LAST}/{file}.safetensors", change)
    assert refused(packed(tmp_path / "a.tar.gz", changed)) == words


@pytest.mark.parametrize(
    ("file", "words"), [("model", "has no weights"), ("state", "has no moments")]
)
def test_a_checkpoint_without_one_of_its_files(
    files: Files, tmp_path: Path, file: str, words: str
) -> None:
    del files[f"{LAST}/{file}.safetensors"]
    path = packed(tmp_path / "a.tar.gz", files)
    assert refused(path) == f"the checkpoint of step 4 {words}"


def test_a_checkpoint_of_another_optimiser(files: Files, tmp_path: Path) -> None:
    def change(data: bytes) -> bytes:
        return json.dumps({**json.loads(data), "optimizer": "muon"}).encode()

    path = packed(tmp_path / "a.tar.gz", retold(files, f"{LAST}/state.json", change))
    assert refused(path) == "the checkpoint of step 4 is not of optimizer=adamw"


def test_weights_to_begin_with_that_are_others(config: RunConfig, tmp_path: Path) -> None:
    api.train(config, name="base")
    api.train(config, name="tuned", init_from="base")
    exported("tuned", tmp_path / "a.tar.gz")
    for name in run_names():
        Path(paths.runs_dir() / name).rename(tmp_path / name)
    found = files_of(tmp_path / "a.tar.gz")
    del found["capsule.json"]
    path = packed(tmp_path / "b.tar.gz", retold(found, "init.safetensors", spoil(EMBEDDING, 7.0)))
    assert refused(path) == "init.safetensors is not what the run began with"
