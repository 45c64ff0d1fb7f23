"""What came from elsewhere has the loss that it had there, and can do what runs can."""

from __future__ import annotations

import math
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from core import api, recipes
from core.events import StepCompleted
from core.measure.evaluate import windows
from core.store.find import find_run
from core.store.summary import list_runs
from core.store.tokens import tokenized_text_of
from core.testing import result_of
from core.text.batches import RandomBatches
from tests.core.arriving_models import VOCAB, foreign
from tests.core.arriving_models import arriving as arriving


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
