"""Tasks: their problems, what of them is learned, and how many are solved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from core import recipes
from core.config import RunConfig, TextConfig
from core.config.written import RESIDUES, TASKS
from core.device import choose_device
from core.errors import ConfigError, DataError
from core.events import BaselinesCounted, RunFinished, SampleCompleted, ValidationCompleted
from core.measure.answers import MOST_PROBLEMS, evaluate_answers
from core.store.find import find_run
from core.text.problem_batches import IGNORED, ProblemBatches, make_batches
from core.text.problems import find_problems
from core.text.tasks import is_task, task_pieces
from core.text.tokenizer import ByteTokenizer, CharTokenizer

PAIRS = {"(": ")", "[": "]", "<": ">"}


def closes(text: str) -> str:
    """What closes all that is open."""
    still_open: list[str] = []
    for char in text:
        if char in PAIRS:
            still_open.append(PAIRS[char])
        else:
            assert still_open.pop() == char
    return "".join(reversed(still_open))


def modular(question: str) -> str:
    a, b = question.split("+")
    return RESIDUES[(RESIDUES.index(a) + RESIDUES.index(b)) % 53]


ANSWERS: dict[str, Callable[[str], str]] = {
    "copy": lambda question: question,
    "reverse": lambda question: question[::-1],
    "brackets": closes,
    "addition": lambda question: str(sum(map(int, question.split("+")))),
    "modular": modular,
}


def config_of(task: str, **changes: Any) -> TextConfig:
    return TextConfig(corpus=f"task:{task}", tokenizer="char", generated_chars=4_000, **changes)


def lines_of(config: TextConfig) -> list[str]:
    return "".join(task_pieces(config.source)).splitlines()


class TestTexts:
    @pytest.mark.parametrize("task", ANSWERS)
    def test_each_line_is_a_problem_and_its_answer_and_comes_once(self, task: str) -> None:
        lines = lines_of(config_of(task))
        assert len(lines) == len(set(lines)) > 200
        for question, answer in (line.split("=") for line in lines):
            assert question
            assert answer == ANSWERS[task](question) != ""

    @pytest.mark.parametrize("task", ANSWERS)
    def test_it_is_decided_by_its_name(self, task: str) -> None:
        config = config_of(task)
        assert is_task(config.source)
        assert lines_of(config) == lines_of(config)
        assert lines_of(config) != lines_of(config_of(task, generated_seed=1))
        assert f"task:{task}" in TASKS

    def test_modular_addition_is_there_in_full(self) -> None:
        config = TextConfig(corpus="task:modular", task_size=7, tokenizer="char")
        assert config.source == "task:modular:7:2000000:0"
        assert len(set(lines_of(config))) == len(lines_of(config)) == 49

    def test_a_text_ends_when_there_are_no_more_problems(self) -> None:
        lines = lines_of(TextConfig(corpus="task:copy", task_size=1, tokenizer="char"))
        assert sorted(lines) == [f"{c}={c}" for c in "abcdefgh"]

    def test_the_size_is_that_of_the_longest(self) -> None:
        lines = lines_of(config_of("addition", task_size=2))
        assert max(int(line.split("+")[0]) for line in lines) in range(90, 100)


class TestProblems:
    TEXT = "+b=c\na+b=cd\ne=f\ng+"

    @pytest.mark.parametrize("tokenizer", [CharTokenizer(TEXT), ByteTokenizer()])
    def test_whole_lines_and_what_follows_the_equals_sign(self, tokenizer: Any) -> None:
        found = find_problems(tokenizer.encode(self.TEXT), tokenizer, begins_with_one=False)
        lines = [self.TEXT[a : a + n] for a, n in zip(found.starts, found.lengths, strict=True)]
        assert lines == ["a+b=cd\n", "e=f\n"]
        answers = "".join(c for c, is_it in zip(self.TEXT, found.is_answer, strict=True) if is_it)
        assert answers == "cd\nf\n"

    def test_a_training_text_begins_with_a_problem(self) -> None:
        tokenizer = CharTokenizer(self.TEXT)
        found = find_problems(tokenizer.encode(self.TEXT), tokenizer, begins_with_one=True)
        assert found.starts.tolist() == [0, 5, 12]

    @pytest.mark.parametrize("text", ["a+b=c", "\n", "a=b\nc"])
    def test_of_a_stretch_without_one_there_is_none(self, text: str) -> None:
        tokenizer = CharTokenizer("abc+=\n")
        found = find_problems(tokenizer.encode(text), tokenizer, begins_with_one=False)
        assert len(found.starts) == 0
        assert not found.is_answer.any()


def batches(answers_only: bool, context: int = 8, text: str = "a+b=cd\ne=f\na=b\n") -> Any:
    tokenizer = CharTokenizer(text)
    ids = tokenizer.encode(text)
    problems = find_problems(ids, tokenizer, begins_with_one=True)
    made = ProblemBatches(
        ids, problems, batch_size=6, context=context, seed=0, answers_only=answers_only
    )
    return made, tokenizer


class TestBatches:
    def test_rows_begin_with_a_problem_and_targets_are_shifted(self) -> None:
        made, tokenizer = batches(answers_only=False, context=7)
        inputs, targets = made.at(1)
        assert inputs.shape == targets.shape == (6, 7)
        rows = {tokenizer.decode(row) for row in inputs}
        assert rows == {"a+b=cd\n", "e=f\na=b"}
        assert np.array_equal(inputs[:, 1:], targets[:, :-1])

    def test_of_answers_only_the_rest_is_ignored(self) -> None:
        made, tokenizer = batches(answers_only=True)
        inputs, targets = made.at(1)
        row = next(i for i, row in enumerate(inputs) if tokenizer.decode(row)[0] == "a")
        assert targets[row, [0, 1, 2]].tolist() == [IGNORED] * 3
        assert tokenizer.decode(targets[row, 3:6]) == "cd\n"
        assert targets[row, [6, 7]].tolist() == [IGNORED] * 2

    def test_batches_of_a_step_are_the_rows_of_a_large_one(self) -> None:
        made, _ = batches(answers_only=True, context=7)
        assert np.array_equal(made.at(3)[0], made.at(3)[0])
        assert not np.array_equal(made.at(3, 0)[0], made.at(3, 1)[0])

    def test_cross_entropy_leaves_out_what_is_ignored(self) -> None:
        logits, targets = torch.randn(2, 5), torch.tensor([3, IGNORED])
        both = torch.nn.functional.cross_entropy(logits, targets)
        assert both == torch.nn.functional.cross_entropy(logits[:1], targets[:1])

    def test_texts_that_do_not_fit_a_row(self) -> None:
        with pytest.raises(DataError) as caught:
            batches(answers_only=True, context=4)
        assert (str(caught.value), caught.value.hint) == (
            "The longest problem has 7 tokens, and context=4 has room for 5.",
            "Try context=6.",
        )
        with pytest.raises(DataError) as caught:
            make_batches(run_config(), CharTokenizer("a=\n"), np.array([2, 2]))
        assert caught.value.hint == "Choose a longer text."
        with pytest.raises(DataError) as caught:
            batches(answers_only=True, context=64)
        assert (str(caught.value), caught.value.hint) == (
            "The training text has no room for a row: 15 tokens, context=64.",
            "Choose a longer text or a shorter context.",
        )


class Oracle(torch.nn.Module):
    """Knows the text by heart, but for what it is told to get wrong."""

    def __init__(self, rows: dict[tuple[int, ...], int], n_ids: int) -> None:
        super().__init__()
        self.rows, self.n_ids = rows, n_ids

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(*ids.shape, self.n_ids)
        for row, line in enumerate(ids.tolist()):
            for i in range(len(line)):
                wanted = self.rows.get(tuple(line[: i + 1]))
                if wanted is not None:
                    logits[row, i, wanted] = 20.0
        return logits


class TestSolving:
    TEXT = "b=c\na+b=cd\ne+f=ab\na=b\n"

    def scored(self, wrong: dict[str, str]) -> Any:
        tokenizer = CharTokenizer(self.TEXT)
        known = {}
        for line in self.TEXT.splitlines(keepends=True):
            ids = tokenizer.encode(line).tolist()
            known |= {tuple(ids[:i]): ids[i] for i in range(1, len(ids))}
        for prefix, answer in wrong.items():
            known[tuple(tokenizer.encode(prefix).tolist())] = int(tokenizer.encode(answer)[0])
        oracle: Any = Oracle(known, tokenizer.vocab_size)
        ids, device = tokenizer.encode(self.TEXT), choose_device("cpu", "float32", 1)
        work = evaluate_answers(oracle, tokenizer, ids, 16, device)
        while True:
            try:
                next(work)
            except StopIteration as end:
                return end.value

    @pytest.mark.parametrize(
        ("wrong", "solved"),
        [
            ({}, 3),
            ({"a+b=c": "a"}, 2),
            ({"a=b": "a"}, 2),
            ({"a=": "a", "e+f=": "e"}, 1),
            ({"a": "f", "a+": "e"}, 3),
        ],
        ids=["all", "a later token", "the line break", "two", "questions do not count"],
    )
    def test_every_token_of_the_answer_counts(self, wrong: dict[str, str], solved: int) -> None:
        found = self.scored(wrong)
        assert (found.accuracy, found.problems) == (solved / 3, 3)
        assert (found.tokens, found.bytes) == (8, 8)
        n_wrong = 0 if solved == 3 else len(wrong)
        assert found.top1 == pytest.approx((8 - n_wrong) / 8)

    def test_a_text_without_a_whole_problem_cannot_be_scored(self) -> None:
        tokenizer = CharTokenizer("a=b\n")
        model: Any = Oracle({}, 4)
        device = choose_device("cpu", "float32", 1)
        with pytest.raises(DataError) as caught:
            next(evaluate_answers(model, tokenizer, tokenizer.encode("=b\na"), 16, device))
        assert (str(caught.value), caught.value.hint) == (
            "The held-out text has no whole problem.",
            "Choose a longer text, or hold out a larger share.",
        )


def run_config(**changes: Any) -> RunConfig:
    tiny = {"d_model": 32, "n_layers": 1, "n_heads": 2, "context": 12, "batch_size": 64}
    text = {"corpus": "task:copy", "task_size": 2, "tokenizer": "char"}
    ends = {"steps": 150, "lr": 0.01, "eval_interval": 75, "sample_tokens": 0, "threads": 1}
    return RunConfig().with_changes(**(tiny | text | ends | changes))


def test_a_task_that_comes_alone_is_read_in_characters() -> None:
    quick, task = RunConfig(), {"corpus": "task:copy"}
    assert quick.text.tokenizer == "bpe"
    assert quick.with_changes(**task).text.tokenizer == "char"
    assert RunConfig.from_dict({"text": task}, quick).text.tokenizer == "char"
    assert quick.with_changes(**task, tokenizer="byte").text.tokenizer == "byte"
    assert quick.with_changes(tokenizer="byte").with_changes(**task).text.tokenizer == "byte"
    with pytest.raises(ConfigError, match="does not go with tokenizer=bpe"):
        quick.with_changes(**task, tokenizer="bpe")


class TestRuns:
    def test_a_task_is_learned_and_its_accuracy_is_told(self) -> None:
        events = list(recipes.training(run_config(answers_only=True)).run())
        first, last = (e for e in events if isinstance(e, ValidationCompleted))
        assert first.accuracy is not None
        assert last.accuracy is not None
        assert last.accuracy > 0.3
        assert last.loss < first.loss
        (counted,) = (e for e in events if isinstance(e, BaselinesCounted))
        assert {b.kind for b in counted.baselines} == {"uniform", "ngram"}
        assert isinstance(events[-1], RunFinished)
        assert events[-1].result.accuracy == last.accuracy
        assert events[-1].result.baselines == counted.baselines
        assert events[-1].result.run == "copy-1"
        *_, scored = recipes.evaluation("copy-1").run()
        assert (scored.result.loss, scored.result.accuracy) == (last.loss, last.accuracy)
        assert 0 < scored.result.problems <= MOST_PROBLEMS

    def test_of_all_tokens_the_accuracy_stands_beside_the_loss(self) -> None:
        *_, finished = recipes.training(run_config(steps=2)).run()
        assert isinstance(finished, RunFinished)
        assert finished.result.accuracy == 0.0
        *_, scored = recipes.evaluation("copy-1").run()
        assert scored.result.loss == finished.result.val_loss
        assert scored.result.stride == 12

    def test_rows_of_other_texts_begin_anywhere(self) -> None:
        ids = np.arange(100) % 7
        made = make_batches(RunConfig().with_changes(context=8), ByteTokenizer(), ids)
        assert not isinstance(made, ProblemBatches)


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        (
            {"corpus": "task:adition", "tokenizer": "char"},
            "There is no task 'task:adition'.",
            "Did you mean task:addition?",
        ),
        (
            {"corpus": "task:copy", "tokenizer": "bpe"},
            "task:copy does not go with tokenizer=bpe, which would join questions and answers.",
            "Try tokenizer=char.",
        ),
        (
            {"corpus": "task:modular", "tokenizer": "char", "task_size": 97},
            "task_size=97 is not one that task:modular has.",
            "It goes up to 62; 0 takes 53.",
        ),
        (
            {"corpus": "task:copy", "tokenizer": "char", "generated_chars": 60_000_000},
            "generated_chars=60000000 is above 50000000, the most for a task.",
            "Its problems are kept in memory, for none may come twice.",
        ),
        (
            {"corpus": "python-docs", "answers_only": True},
            "answers_only needs a task, and the corpus is 'python-docs'.",
            "Try corpus=task:copy, or answers_only=false.",
        ),
    ],
)
def test_tasks_that_cannot_be(changes: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig().with_changes(**changes)
    assert (str(caught.value), caught.value.hint) == (message, hint)

    def test_a_sample_is_a_held_out_question_and_says_whether_the_answer_is_right(self) -> None:
        config = run_config(steps=20, sample_tokens=4, sample_interval=10, rows="shuffled")
        events = list(recipes.training(config).run())
        run = find_run(events[-1].result.run).run
        assert run.config.train.rows == "random"
        samples = [e for e in events if isinstance(e, SampleCompleted)]
        lines = "".join(task_pieces(run.config.text.corpus)).splitlines()
        for told in samples:
            assert told.prompt == f"{told.answer}="  # of a copy
            assert f"{told.prompt}{told.answer}" in lines[-len(lines) // 5 :]
            assert "\n" not in told.text
            assert (told.verdict == "right") == (told.text == told.answer)
        assert len({told.prompt for told in samples}) == 1

    def test_the_verdict_of_an_answer(self) -> None:
        right = SampleCompleted(step=1, prompt="7+8=", text="15", answer="15")
        wrong = replace(right, text="151")
        assert (right.verdict, wrong.verdict) == ("right", "wrong, it is 15")
        assert replace(right, answer="").verdict == ""
