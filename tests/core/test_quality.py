"""The figures of a comparison, computed a second time in plain Python."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch

from core.measure.quality import Pairs, compare, percentiles
from core.testing import CPU, result_of, tiny_model


def logs(row: list[float]) -> list[float]:
    top = max(row)
    total = math.fsum(math.exp(x - top) for x in row)
    return [x - top - math.log(total) for x in row]


def test_all_figures_agree_with_a_second_computation():
    dice = random.Random(3)
    n, size = 300, 17
    before = [[dice.gauss(0, 2) for _ in range(size)] for _ in range(n)]
    after = [[x + dice.gauss(0, 0.3) for x in row] for row in before]
    right = [dice.randrange(size) for _ in range(n)]
    pairs = Pairs()
    for part in (slice(0, 120), slice(120, n)):
        told = (torch.tensor(rows[part], dtype=torch.float64) for rows in (before, after))
        pairs.add(*told, torch.tensor(right[part]))
    found = pairs.result(25)
    p, q = [logs(row) for row in before], [logs(row) for row in after]
    klds = [
        math.fsum(math.exp(a) * (a - b) for a, b in zip(*rows, strict=True))
        for rows in zip(p, q, strict=True)
    ]
    losses = [[-row[i] for row, i in zip(rows, right, strict=True)] for rows in (p, q)]
    dps = [math.exp(b[i]) - math.exp(a[i]) for a, b, i in zip(p, q, right, strict=True)]
    same = [a.index(max(a)) == b.index(max(b)) for a, b in zip(p, q, strict=True)]
    assert found.tokens == n
    assert found.loss_before == pytest.approx(math.fsum(losses[0]) / n, rel=1e-12)
    assert found.perplexity_after == pytest.approx(math.exp(math.fsum(losses[1]) / n), rel=1e-12)
    differences = [b - a for a, b in zip(*losses, strict=True)]
    assert found.ln_ratio == pytest.approx(math.fsum(differences) / n, rel=1e-9)
    ratio = found.perplexity_after / found.perplexity_before
    assert found.ln_ratio == pytest.approx(math.log(ratio), rel=1e-9)
    assert found.kld == pytest.approx(math.fsum(klds) / n, rel=1e-9)
    assert found.kld_max == pytest.approx(max(klds), rel=1e-9)
    assert found.rms_dp == pytest.approx(math.sqrt(math.fsum(d * d for d in dps) / n), rel=1e-9)
    assert found.same_top1 == pytest.approx(sum(same) / n)
    assert [percent for percent, _ in found.kld_percentiles] == [50, 90, 95]
    assert found.kld_percentiles[0][1] == pytest.approx(sorted(klds)[149:151][0], rel=0.1)
    low, high = found.ln_ratio_ci95
    means = [math.fsum(differences[i : i + 18]) for i in range(0, n, 18)]
    assert low < found.ln_ratio < high
    assert len(means) == 17  # blocks of 300 // 16 tokens, for the context is longer


def test_the_interval_of_the_ratio_is_narrower_than_those_of_the_perplexities():
    dice = np.random.default_rng(0)
    before = torch.tensor(dice.normal(0, 3, (2000, 9)))
    after = before + torch.tensor(dice.normal(0, 0.01, (2000, 9)))
    pairs = Pairs()
    pairs.add(before, after, torch.tensor(dice.integers(0, 9, 2000)))
    found = pairs.result(20)
    paired = found.ln_ratio_ci95[1] - found.ln_ratio_ci95[0]
    alone = math.log(found.perplexity_after_ci95[1] / found.perplexity_after_ci95[0])
    assert paired < alone / 50


def test_a_model_is_like_itself():
    model = tiny_model()
    ids = np.random.default_rng(1).integers(0, 31, 100)
    found = result_of(compare(model, model, ids, 24, CPU))
    assert found.tokens == 99
    assert (found.kld, found.kld_max, found.rms_dp, found.ln_ratio) == (0, 0, 0, 0)
    assert found.same_top1 == 1
    assert found.same_top1_ci95 == (1, 1)


def test_a_word_that_cannot_be_costs_no_number():
    pairs = Pairs()
    before = torch.tensor([[0.0, -math.inf]])
    pairs.add(before, torch.tensor([[0.0, 0.0]]), torch.tensor([0]))
    found = pairs.result(1)
    assert found.kld == pytest.approx(math.log(2))
    assert found.kld_ci95 == (-math.inf, math.inf)


def test_only_percentiles_that_so_many_tokens_can_tell():
    def told(n: int) -> list[float]:
        return [percent for percent, _ in percentiles(np.arange(n, dtype=np.float64))]

    assert told(1) == [50]
    assert told(99) == [50]
    assert told(100) == [50, 90]
    assert told(1000) == [50, 90, 95, 99]
    assert told(10_000) == [50, 90, 95, 99, 99.9]
