"""Baselines: n-grams against a slow, independent implementation, compressors, and the cache."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import recipes
from core.config import RunConfig
from core.events import (
    Baseline,
    BaselinePassed,
    BaselinesCounted,
    RunStarted,
    SetupProgressed,
    StepCompleted,
    ValidationCompleted,
)
from core.store import baselines as store
from core.store.find import find_run
from core.store.metrics import baselines_in, read_lines, read_metrics
from core.store.stages import never
from core.store.tokens import TokenizedText
from core.text.baselines import ngram_probabilities
from core.text.compressors import WINDOW_BYTES, added_bits, compressors
from core.text.tokenizer import ByteTokenizer, CharTokenizer
from core.training.passing import Passing

WORDS = ("the cat sat on the mat ", "a dog ran to the cat ", "on a mat sat the dog ")


def prose(n_chars: int, seed: int = 0) -> str:
    draws = np.random.default_rng(seed).integers(0, len(WORDS), n_chars // 20)
    return "".join(WORDS[i] for i in draws)[:n_chars]


class SlowKneserNey:
    """Modified Kneser-Ney as Chen and Goodman write it, with dictionaries of tuples."""

    def __init__(self, train: list[int], vocab_size: int, longest: int) -> None:
        self.vocab_size = vocab_size
        raw = [Counter(zip(*(train[i:] for i in range(n)), strict=False)) for n in range(1, 9)]
        self.counts = [
            raw[n] if n + 1 == longest else Counter(gram[1:] for gram in raw[n + 1])
            for n in range(longest)
        ]
        self.discounts = [self.discounts_of(counts) for counts in self.counts]
        self.followers: list[dict[Any, dict[int, int]]] = []
        for counts in self.counts:
            followers: dict[Any, dict[int, int]] = defaultdict(dict)
            for gram, count in counts.items():
                followers[gram[:-1]][gram[-1]] = count
            self.followers.append(followers)

    @staticmethod
    def discounts_of(counts: Counter[Any]) -> list[float]:
        n1, n2, n3, n4 = (sum(c == k for c in counts.values()) for k in (1, 2, 3, 4))
        share = n1 / (n1 + 2 * n2) if n1 and n2 else 0.5
        if 0 in (n1, n2, n3, n4):
            return [min(max(share, 0.05), k) for k in (1, 2, 3)]
        exact = [1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3]
        return [min(max(d, 0.05), k) for k, d in zip((1, 2, 3), exact, strict=True)]

    def probability(self, context: tuple[int, ...], token: int) -> float:
        n = len(context)
        low = self.probability(context[1:], token) if n else 1 / self.vocab_size
        followers = self.followers[n].get(context)
        if not followers:
            return low
        off = {t: self.discounts[n][min(c, 3) - 1] for t, c in followers.items()}
        own = followers.get(token, 0) - off.get(token, 0)
        return (own + sum(off.values()) * low) / sum(followers.values())


class TestNgrams:
    @pytest.mark.parametrize("vocab", [3, 11, 70_000])
    def test_they_are_those_of_an_implementation_by_the_book(self, vocab: int) -> None:
        draw = np.random.default_rng(vocab)
        ids = (draw.integers(0, vocab, 700) // draw.integers(1, 4, 700)).tolist()
        train, held_out = ids[:600], ids[600:]
        found = list(ngram_probabilities(np.array(train), np.array(held_out), vocab))
        assert len(found) == 6
        for n, probabilities in enumerate(found, 1):
            slow = SlowKneserNey(train, vocab, n)
            expected = [
                slow.probability(tuple(ids[i - n + 1 : i]), ids[i]) for i in range(600, 700)
            ]
            np.testing.assert_allclose(probabilities, expected, rtol=1e-12)

    @given(
        st.integers(1, 6).flatmap(
            lambda v: st.tuples(
                st.just(v),
                st.lists(st.integers(0, v - 1), min_size=1, max_size=60),
                st.lists(st.integers(0, v - 1), max_size=8),
            )
        )
    )
    @settings(max_examples=30, deadline=None)
    def test_they_are_distributions_after_any_context(
        self, drawn: tuple[int, list[int], list[int]]
    ) -> None:
        vocab, train, context = drawn
        rows = [
            [
                p[-1]
                for p in ngram_probabilities(np.array(train), np.array([*context, token]), vocab)
            ]
            for token in range(vocab)
        ]
        assert np.all(np.array(rows) > 0)
        np.testing.assert_allclose(np.sum(rows, axis=0), 1, rtol=1e-12)

    def test_more_context_tells_more_where_the_text_has_it(self) -> None:
        ids = np.frombuffer(prose(20_000).encode(), np.uint8)
        losses = [-np.log(p).mean() for p in ngram_probabilities(ids[:18_000], ids[18_000:], 256)]
        assert losses == sorted(losses, reverse=True)
        assert losses[0] < math.log(256)

    def test_ids_are_taken_as_they_lie_on_disk(self) -> None:
        ids = np.array([1, 2, 3, 1, 2, 3, 1, 2], np.uint16)
        wide = ids.astype(np.uint32)
        for narrow_p, wide_p in zip(
            ngram_probabilities(ids[:6], ids[6:], 65_536),
            ngram_probabilities(wide[:6], wide[6:], 65_536),
            strict=True,
        ):
            assert narrow_p.tolist() == wide_p.tolist()


class TestCompressors:
    def test_what_was_read_before_makes_a_text_cheaper(self) -> None:
        text, before = prose(4_000, 1).encode(), prose(40_000, 2).encode()
        for name, compress in compressors():
            assert name in ("bz2", "xz")
            alone, given_it = added_bits(compress, b"", text), added_bits(compress, before, text)
            assert 0 < given_it < alone < 8 * len(text)

    def test_no_more_of_it_is_packed_than_the_window_holds(self) -> None:
        packed: list[int] = []

        def note(data: bytes) -> bytes:
            packed.append(len(data))
            return data

        assert added_bits(note, bytes(3 * WINDOW_BYTES), bytes(1000)) == 8000
        assert packed == [WINDOW_BYTES, WINDOW_BYTES - 1000]


def text_of(train: str, held_out: str, digest: str = "") -> TokenizedText:
    tokenizer = CharTokenizer(train + held_out)
    ids = tokenizer.encode(train), tokenizer.encode(held_out)
    return TokenizedText(tokenizer, "", *ids, "", digest)


def counted(text: TokenizedText) -> tuple[BaselinesCounted, list[SetupProgressed]]:
    """What is counted, and what is told meanwhile."""
    told: list[SetupProgressed] = []

    def reading() -> Any:
        yield from ()
        return text

    work = store.with_baselines(RunConfig(), reading(), never)
    while True:
        try:
            told.append(next(work))
        except StopIteration as end:
            return end.value.baselines, told


class TestCounting:
    def test_uniform_ngrams_and_compressors_in_nats_per_token(self) -> None:
        text = text_of(prose(20_000), prose(2_000, 1))
        found, told = counted(text)
        assert [b.name for b in found.baselines] == [
            *("uniform", "1-gram", "2-gram", "3-gram", "4-gram", "5-gram", "6-gram"),
            *("bz2", "xz"),
        ]
        assert found.baselines[0].loss == math.log(text.tokenizer.vocab_size)
        assert (found.counted_tokens, found.scored_tokens) == (len(text.train_ids), 1999)
        assert [b.loss for b in found.by_loss] == sorted(b.loss for b in found.baselines)[::-1]
        assert told[0] == SetupProgressed(stage="counting baselines")
        assert told[-1].share == 1.0

    def test_a_compressor_is_charged_for_what_follows_the_first_token(self) -> None:
        text = text_of(prose(20_000), prose(2_000, 1))
        held_out = prose(2_000, 1).encode()
        for name, compress in compressors():
            bits = added_bits(compress, prose(20_000).encode() + held_out[:1], held_out[1:])
            loss = next(b.loss for b in counted(text)[0].baselines if b.name == name)
            assert loss == pytest.approx(bits * math.log(2) / 1999, rel=1e-12)

    def test_of_a_very_long_text_what_is_next_to_the_split(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "MOST_COUNTED", 3_000)
        monkeypatch.setattr(store, "MOST_SCORED", 500)
        long, near = prose(20_000), prose(20_000)[-3_000:]
        whole, part = (
            counted(text_of(long, prose(2_000, 1)))[0],
            counted(text_of(near, prose(2_000, 1)[:500]))[0],
        )
        assert (whole.counted_tokens, whole.scored_tokens) == (3_000, 499)
        assert whole.baselines[:7] == part.baselines[:7]

    def test_once_counted_they_are_kept_by_the_tokens(self) -> None:
        text = text_of(prose(8_000), prose(800, 1), digest="one")
        first, _ = counted(text)
        again, told = counted(text)
        assert (again, told) == (first, [])
        assert counted(replace(text, digest="other"))[1] != []

    @pytest.mark.parametrize("damage", ["", "{}", '{"baselines": [1]}', "[]"])
    def test_a_damaged_file_is_counted_again(self, damage: str) -> None:
        text = text_of(prose(8_000), prose(800, 1), digest="one")
        first, _ = counted(text)
        (kept,) = (store.paths.cache_dir() / "baselines").iterdir()
        kept.write_text(damage, encoding="utf-8")
        again, told = counted(text)
        assert again == first
        assert told != []


@pytest.mark.parametrize(
    "strange",
    [
        None,
        7,
        [7],
        [{"name": "x"}],
        [{"name": "\x1b[2J", "loss": 1.0, "kind": "ngram"}],
        [{"name": "2-gram", "loss": None, "kind": "ngram"}],
        [{"name": "2-gram", "loss": "1", "kind": "ngram"}],
        [{"name": ["2-gram"], "loss": 1.0, "kind": "ngram"}],
    ],
)
def test_what_is_no_baseline_in_metrics_from_elsewhere_is_left_out(strange: Any) -> None:
    good = {"name": "2-gram", "loss": 2.5, "kind": "ngram"}
    event = {"event": "BaselinesCounted", "baselines": strange}
    assert baselines_in([event]) == baselines_in([]) == ()
    if isinstance(strange, list):
        mixed = event | {"baselines": [*strange, good]}
        assert baselines_in([mixed]) == (Baseline(name="2-gram", loss=2.5, kind="ngram"),)


class TestPassing:
    COUNTED = BaselinesCounted(
        baselines=tuple(
            Baseline(name=name, loss=loss, kind="ngram")
            for name, loss in (("2-gram", 2.5), ("4-gram", 1.7), ("3-gram", 2.0), ("bz2", 2.2))
        ),
        counted_tokens=1,
        scored_tokens=1,
    )

    @staticmethod
    def validated(step: int, loss: float) -> ValidationCompleted:
        return ValidationCompleted(
            step=step,
            loss=loss,
            loss_ci95=(loss, loss),
            perplexity=1.0,
            bits_per_byte=1.0,
            train_s=0.0,
            eval_s=0.0,
            is_best=False,
        )

    def test_each_is_told_once_the_worst_first(self) -> None:
        passing = Passing(self.COUNTED, math.inf)
        losses = [3.0, 2.2, 2.1, 2.3, math.nan, 1.9, 2.05, 1.7, 1.6]
        told = [
            (passed.step, passed.name)
            for step, loss in enumerate(losses, 1)
            for passed in passing.passed_by(self.validated(step, loss))
        ]
        assert told == [(2, "2-gram"), (3, "bz2"), (6, "3-gram"), (9, "4-gram")]

    def test_a_run_that_goes_on_has_passed_what_its_best_loss_says(self) -> None:
        passing = Passing(self.COUNTED, 2.2)
        told = [passed.name for passed in passing.passed_by(self.validated(7, 1.9))]
        assert told == ["bz2", "3-gram"]
        assert list(Passing(None, math.inf).passed_by(self.validated(7, 1.9))) == []


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    corpus = tmp_path / "prose.txt"
    corpus.write_text(prose(6_000), encoding="utf-8")
    tiny = RunConfig().with_changes(d_model=16, n_layers=1, n_heads=2, context=16, batch_size=8)
    return tiny.with_changes(
        corpus=str(corpus),
        tokenizer="char",
        steps=60,
        lr=0.01,
        eval_interval=20,
        sample_tokens=0,
        threads=1,
    )


def told_by(session: Any) -> list[Any]:
    return [e for e in session.run() if not isinstance(e, StepCompleted | SetupProgressed)]


class TestRuns:
    def test_a_run_tells_them_first_and_what_it_passes_right_after_a_validation(
        self, config: RunConfig
    ) -> None:
        events = told_by(recipes.training(config, name="one"))
        assert isinstance(events[0], RunStarted)
        assert isinstance(events[1], BaselinesCounted)
        passed = [e for e in events if isinstance(e, BaselinePassed)]
        assert [e.name for e in passed][:2] == ["uniform", "1-gram"]
        assert isinstance(events[events.index(passed[0]) - 1], ValidationCompleted)
        assert len({e.name for e in passed}) == len(passed)

    def test_metrics_keep_them_once_and_a_resumed_run_tells_them_again(
        self, config: RunConfig
    ) -> None:
        first = told_by(recipes.training(config, name="one"))
        more = told_by(recipes.resuming("one", steps=120))
        assert more[1] == first[1]
        run = find_run("one").run
        lines = list(read_lines(run.path))
        assert [e["event"] for e in lines].count("BaselinesCounted") == 1
        names = [e["name"] for e in read_metrics(run.path) if e["event"] == "BaselinePassed"]
        assert len(names) == len(set(names)) > 1
        assert store.baselines_told(run) == first[1].baselines

    def test_a_replay_passes_them_at_the_same_steps(self, config: RunConfig) -> None:
        first = told_by(recipes.training(config, name="one"))
        again = told_by(recipes.replaying("one", name="two"))
        assert again[1] == first[1]
        passed = [[e for e in events if isinstance(e, BaselinePassed)] for events in (first, again)]
        assert passed[0] == passed[1] != []

    def test_an_evaluation_of_the_held_out_text_knows_them(
        self, config: RunConfig, tmp_path: Path
    ) -> None:
        (counted,) = (
            e
            for e in told_by(recipes.training(config, name="one"))
            if isinstance(e, BaselinesCounted)
        )
        *_, own = recipes.evaluation("one").run()
        *_, other = recipes.evaluation("one", text=config.text.corpus).run()
        assert own.result.baselines == counted.baselines
        assert other.result.baselines == ()

    def test_who_does_not_want_them_has_none(self, config: RunConfig) -> None:
        events = told_by(recipes.training(config.with_changes(baselines=False), name="one"))
        assert not [e for e in events if isinstance(e, BaselinesCounted | BaselinePassed)]
        assert store.baselines_told(find_run("one").run) == ()

    def test_stopped_while_counting_nothing_is_written(self, config: RunConfig) -> None:
        session = recipes.training(config, name="one")
        for event in session.run():
            if isinstance(event, SetupProgressed) and event.stage == "counting baselines":
                session.stop()
        assert not (store.paths.runs_dir() / "one").exists()


def test_bytes_and_characters_of_ascii_cost_the_same() -> None:
    text = prose(8_000), prose(800, 1)
    by_char = counted(text_of(*text))[0]
    tokenizer = ByteTokenizer()
    ids = (tokenizer.encode(part) for part in text)
    by_byte = counted(TokenizedText(tokenizer, "", *ids))[0]
    assert by_byte.baselines[-2:] == by_char.baselines[-2:]
