"""How many problems of a task a model solves, and what their answers cost it.

Each held-out problem is read alone, with its answer. It is solved if each token of the answer, the
line break behind it included, is the model's first choice after what is right before it: then
and only then would writing greedily give that answer. So nothing needs to be written.

Shape suffixes: B problems of one length · T tokens but the last · V vocab_size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from core.config import RunConfig
from core.device import Device
from core.errors import DataError
from core.events import Evaluation, EvaluationProgressed
from core.measure.evaluate import LOGITS_PER_BATCH, evaluate, exponential, ranks
from core.measure.statistics import interval_of_mean
from core.model.transformer import Transformer
from core.text.problems import Problems, find_problems
from core.text.tokenizer import Tokenizer

MOST_PROBLEMS = 2000
"""That are scored: the first ones of the held-out text."""

Ids = NDArray[Any]
Keep = Callable[[NDArray[np.float64]], object]


def evaluate_run(
    model: Transformer,
    tokenizer: Tokenizer,
    ids: Ids,
    config: RunConfig,
    *,
    stride: int,
    device: Device,
    keep: Keep | None = None,
) -> Generator[EvaluationProgressed, None, Evaluation]:
    """Score the held-out text of a run in the way it is trained: all tokens, or the answers of a
    task alone; with the share of problems that are solved, if it is a task.

    Args:
        keep: is given the losses that were summed, float64: of each scored token, or of each
            answer.

    Raises:
        DataError: there is nothing to score.
    """
    context = config.train.context
    if config.train.answers_only:
        return (yield from evaluate_answers(model, tokenizer, ids, context, device, keep))
    result = yield from evaluate(
        model, tokenizer, ids, context=context, stride=stride, device=device, keep=keep
    )
    if config.text.is_task:
        answers = yield from evaluate_answers(model, tokenizer, ids, context, device)
        result = replace(result, accuracy=answers.accuracy, problems=answers.problems)
    return result


def evaluate_answers(
    model: Transformer,
    tokenizer: Tokenizer,
    ids: Ids,
    context: int,
    device: Device,
    keep: Keep | None = None,
) -> Generator[EvaluationProgressed, None, Evaluation]:
    """Score the answers in a held-out text, and nothing else of it.

    Args:
        keep: is given the loss of each answer, float64 of shape (problems,).

    Raises:
        DataError: there is no whole problem.
    """
    problems = find_problems(ids, tokenizer, begins_with_one=False)
    n = min(len(problems.starts), MOST_PROBLEMS)
    if not n:
        raise DataError(
            "The held-out text has no whole problem.",
            hint="Choose a longer text, or hold out a larger share.",
        )
    model.eval()
    found: list[_Answers] = []
    for places in _batches(problems, n, tokenizer.vocab_size):
        found.append(_score(model, ids[places], problems.is_answer[places], device))
        done = _joined(found)
        yield EvaluationProgressed(tokens=len(done.sums), of=n, loss=done.loss)
    if keep is not None:
        keep(_joined(found).sums)
    answers = ids[: problems.starts[n - 1] + problems.lengths[n - 1]]
    n_bytes = tokenizer.count_bytes(answers[problems.is_answer[: len(answers)]])
    return _joined(found).evaluation(context, n_bytes)


class _Answers:
    """Of some problems: what their answers cost, in all, and how they were ranked."""

    def __init__(
        self,
        sums: NDArray[np.float64],
        counts: NDArray[np.int64],
        is_solved: NDArray[np.bool_],
        top1: int,
        top5: int,
    ) -> None:
        self.sums, self.counts, self.is_solved = sums, counts, is_solved
        self.top1, self.top5 = top1, top5

    @property
    def loss(self) -> float:
        """In nats per token."""
        return float(self.sums.sum() / self.counts.sum())

    def evaluation(self, context: int, n_bytes: int) -> Evaluation:
        tokens = int(self.counts.sum())
        return Evaluation(
            loss=self.loss,
            loss_ci95=interval_of_mean(self.sums, self.counts),
            perplexity=exponential(self.loss),
            bits_per_byte=float(self.sums.sum()) / n_bytes / math.log(2),
            top1=self.top1 / tokens,
            top5=self.top5 / tokens,
            tokens=tokens,
            bytes=n_bytes,
            stride=context,
            context=context,
            accuracy=float(self.is_solved.mean()),
            problems=len(self.is_solved),
        )


def _joined(found: list[_Answers]) -> _Answers:
    return _Answers(
        np.concatenate([f.sums for f in found]),
        np.concatenate([f.counts for f in found]),
        np.concatenate([f.is_solved for f in found]),
        sum(f.top1 for f in found),
        sum(f.top5 for f in found),
    )


def _batches(problems: Problems, n: int, vocab_size: int) -> Iterator[NDArray[np.int64]]:
    """Places of the tokens of the first `n` problems, int64 of shape (B, length)."""
    starts, lengths = problems.starts[:n], problems.lengths[:n]
    for length in np.unique(lengths).tolist():
        places = starts[lengths == length, None] + np.arange(length)
        size = max(1, LOGITS_PER_BATCH // (length * vocab_size))
        yield from (places[i : i + size] for i in range(0, len(places), size))


@torch.inference_mode()
def _score(model: Transformer, rows: Ids, is_answer: NDArray[np.bool_], device: Device) -> _Answers:
    tokens = device.tensor(rows.astype(np.int64))
    with device.autocast():
        logits_BTV = model(tokens[:, :-1]).float()
    targets_BT, mask_BT = tokens[:, 1:], is_answer[:, 1:]
    losses = F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), reduction="none")
    losses_BT = losses.view(targets_BT.shape).double().cpu().numpy()
    rank_BT = ranks(logits_BTV, targets_BT).cpu().numpy()
    return _Answers(
        np.where(mask_BT, losses_BT, 0).sum(1),
        mask_BT.sum(1),
        ((rank_BT == 0) | ~mask_BT).all(1),
        int((mask_BT & (rank_BT < 1)).sum()),
        int((mask_BT & (rank_BT < 5)).sum()),
    )
