"""The rules by which a token is chosen, against independent definitions."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.config import SamplingConfig
from core.errors import MinitfError
from core.infer.sampling import MinP, Sampler, Temperature, TopK, TopP, make_sampler

# Multiples of 1/8, so that ties come often and sums are exact.
logits = st.lists(st.integers(-40, 40), min_size=1, max_size=12).map(
    lambda eighths: torch.tensor([e / 8 for e in eighths])
)


def kept(logits_V: torch.Tensor) -> list[int]:
    return [i for i, x in enumerate(logits_V.tolist()) if x > -math.inf]


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(logits_V=logits, p=st.floats(0.01, 0.999))
def test_top_p_keeps_the_smallest_set_that_sums_to_p(logits_V: torch.Tensor, p: float) -> None:
    ids = kept(TopP(p)(logits_V))
    probability = logits_V.double().softmax(0)
    inside = probability[ids]
    assert inside.sum() >= p - 1e-6
    assert inside.sum() - inside.min() < p + 1e-6
    outside = [i for i in range(len(logits_V)) if i not in ids]
    assert not outside or probability[outside].max() <= inside.min()


@given(logits_V=logits, k=st.integers(1, 15))
def test_top_k_keeps_exactly_k_and_none_better_is_left_out(logits_V: torch.Tensor, k: int) -> None:
    ids = kept(TopK(k)(logits_V))
    assert len(ids) == min(k, len(logits_V))
    outside = [i for i in range(len(logits_V)) if i not in ids]
    assert not outside or logits_V[outside].max() <= logits_V[ids].min()


@given(logits_V=logits, share=st.floats(0.001, 1))
def test_min_p_keeps_what_reaches_a_share_of_the_best(logits_V: torch.Tensor, share: float) -> None:
    ids = kept(MinP(share)(logits_V))
    relative = (logits_V - logits_V.max()).double().exp()
    assert all(relative[i] >= share * (1 - 1e-5) for i in ids)
    assert all(relative[i] <= share * (1 + 1e-5) for i in range(len(logits_V)) if i not in ids)
    assert int(logits_V.argmax()) in ids


@given(logits_V=logits, data=st.data())
def test_rules_leave_what_they_keep_unchanged(logits_V: torch.Tensor, data: st.DataObject) -> None:
    rule = data.draw(st.sampled_from([TopK(3), TopP(0.7), MinP(0.1)]))
    before = logits_V.clone()
    after = rule(logits_V)
    assert torch.equal(logits_V, before), "a rule must not write into its argument"
    ids = kept(after)
    assert ids
    assert torch.equal(after[ids], logits_V[ids])


@given(logits_V=logits, value=st.floats(1e-3, 1e3))
def test_temperature_divides(logits_V: torch.Tensor, value: float) -> None:
    found = Temperature(value)(logits_V).softmax(0)
    torch.testing.assert_close(found, (logits_V.double() / value).softmax(0).float())


@given(logits_V=logits, temperature=st.sampled_from([1e-300, 1e-45, 1e-30, 1e-6]))
def test_a_tiny_temperature_is_nearly_greedy(logits_V: torch.Tensor, temperature: float) -> None:
    chosen = make_sampler(SamplingConfig(temperature=temperature)).choose(logits_V, dice())
    assert logits_V[chosen] == logits_V.max()


def test_a_huge_temperature_is_nearly_uniform() -> None:
    logits_V = torch.tensor([30.0, 0.0, -30.0, 5.0])
    sampler, rolls = make_sampler(SamplingConfig(temperature=1e300)), dice()
    counts = torch.bincount(torch.tensor([sampler.choose(logits_V, rolls) for _ in range(2000)]))
    assert counts.min() > 400


@given(logits_V=logits)
def test_temperature_zero_is_the_best_token_and_throws_no_dice(logits_V: torch.Tensor) -> None:
    rolls = dice()
    before = rolls.get_state()
    sampler = make_sampler(SamplingConfig(temperature=0, top_k=3, top_p=0.5))
    assert sampler.choose(logits_V, rolls) == int(logits_V.argmax())
    assert torch.equal(rolls.get_state(), before)


def test_rules_come_in_order_and_only_when_switched_on() -> None:
    assert make_sampler(SamplingConfig(temperature=1)).rules == (Temperature(1.0),)
    everything = SamplingConfig(temperature=0.5, top_k=9, top_p=0.9, min_p=0.1)
    assert make_sampler(everything).rules == (Temperature(0.5), TopK(9), TopP(0.9), MinP(0.1))


@given(seed=st.integers(0, 2**63 - 1))
def test_the_seed_decides_the_throws(seed: int) -> None:
    logits_V = torch.zeros(50)
    sampler = Sampler()
    first, again = (
        [sampler.choose(logits_V, rolls) for _ in range(6)] for rolls in (dice(seed), dice(seed))
    )
    other = [sampler.choose(logits_V, dice(seed ^ 1)) for _ in range(6)]
    assert first == again
    assert len(set(first)) > 1
    assert first != other


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_come_as_often_as_their_probability_says(temperature: float) -> None:
    """Pearson's chi-square with 4 degrees of freedom; 18.5 is its 99.9 % quantile."""
    logits_V = torch.tensor([2.0, 1.0, 0.0, -1.0, 1.5])
    sampler, rolls, n = make_sampler(SamplingConfig(temperature=temperature)), dice(1), 4000
    counts = torch.bincount(
        torch.tensor([sampler.choose(logits_V, rolls) for _ in range(n)]), minlength=5
    )
    expected = n * (logits_V / temperature).softmax(0)
    assert ((counts - expected) ** 2 / expected).sum() < 18.5


def test_a_cut_token_is_never_chosen() -> None:
    sampler, rolls = make_sampler(SamplingConfig(temperature=5, top_k=2)), dice()
    chosen = {sampler.choose(torch.tensor([0.0, 3.0, 1.0, 2.9]), rolls) for _ in range(300)}
    assert chosen == {1, 3}


@pytest.mark.parametrize("broken", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_broken_model_is_told_from_its_logits(broken: float, temperature: float) -> None:
    sampler = make_sampler(SamplingConfig(temperature=temperature))
    with pytest.raises(MinitfError, match=f"The model's largest logit is {broken}: its") as caught:
        sampler.choose(torch.tensor([0.0, broken]), dice())
    assert caught.value.hint == "Use an earlier checkpoint: RUN@STEP."
