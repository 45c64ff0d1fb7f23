"""The rules by which a token is chosen, against independent definitions."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.config import SamplingConfig
from core.errors import MinitfError
from core.infer.sampling import (
    CountPenalty,
    MinP,
    RepetitionPenalty,
    Sampler,
    Temperature,
    TopK,
    TopP,
    make_sampler,
)

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


# Penalties. A text is a list of ids of a vocabulary of the logits' size.


@st.composite
def texts(draw: st.DrawFn) -> tuple[torch.Tensor, list[int]]:
    logits_V = draw(logits)
    ids = draw(st.lists(st.integers(0, len(logits_V) - 1), max_size=15))
    return logits_V, ids


@given(text=texts(), penalty=st.floats(0.01, 100), window=st.integers(0, 9))
def test_repetition_penalty_is_transformers_definition(
    text: tuple[torch.Tensor, list[int]], penalty: float, window: int
) -> None:
    """gather, `where(score < 0, score * p, score / p)`, scatter; and a loop over the text."""
    logits_V, ids = text
    recent = ids if window == 0 else ids[max(0, len(ids) - window) :]
    index = torch.tensor(recent, dtype=torch.long)
    score = logits_V.gather(0, index)
    score = torch.where(score < 0, score * penalty, score / penalty)
    found = RepetitionPenalty(penalty, window)(logits_V, ids)
    assert torch.equal(found, logits_V.scatter(0, index, score))
    for i, (before, after) in enumerate(zip(logits_V.tolist(), found.tolist(), strict=True)):
        wanted = before if i not in recent else before / penalty if before > 0 else before * penalty
        assert after == pytest.approx(wanted, rel=1e-6)


@given(
    text=texts(),
    presence=st.floats(-100, 100),
    frequency=st.floats(-100, 100),
    window=st.integers(0, 9),
)
def test_presence_and_frequency_are_taken_off_as_often_as_a_token_came(
    text: tuple[torch.Tensor, list[int]], presence: float, frequency: float, window: int
) -> None:
    logits_V, ids = text
    recent = ids if window == 0 else ids[max(0, len(ids) - window) :]
    found = CountPenalty(presence, frequency, window)(logits_V, ids)
    for i, before in enumerate(logits_V.tolist()):
        n = sum(1 for token in recent if token == i)
        wanted = before - presence * (1 if n else 0) - frequency * n
        assert found[i].item() == pytest.approx(wanted, rel=1e-5, abs=1e-4)


PENALTIES = st.sampled_from(
    [
        RepetitionPenalty(0.01),
        RepetitionPenalty(100.0),
        RepetitionPenalty(1.3, 4),
        CountPenalty(100.0, 100.0),
        CountPenalty(-100.0, 0.0, 2),
        CountPenalty(0.5, 0.1, 3),
    ]
)


@given(text=texts(), penalty=PENALTIES, data=st.data())
def test_a_penalty_writes_into_nothing_and_cuts_nothing(
    text: tuple[torch.Tensor, list[int]], penalty: RepetitionPenalty, data: st.DataObject
) -> None:
    logits_V, ids = text
    cut = data.draw(st.sets(st.integers(0, len(logits_V) - 1), max_size=len(logits_V) - 1))
    logits_V = logits_V.index_fill(0, torch.tensor(list(cut), dtype=torch.long), -math.inf)
    before, ids_before = logits_V.clone(), list(ids)
    found = penalty(logits_V, ids)
    assert torch.equal(logits_V, before)
    assert ids == ids_before
    assert set(kept(found)) == set(range(len(logits_V))) - cut
    assert torch.isfinite(found[kept(found)]).all()


@given(text=texts(), window=st.integers(0, 9))
def test_neutral_penalties_change_not_one_bit(
    text: tuple[torch.Tensor, list[int]], window: int
) -> None:
    logits_V, ids = text
    for neutral in (RepetitionPenalty(1.0, window), CountPenalty(0.0, 0.0, window)):
        assert torch.equal(neutral(logits_V, ids).view(torch.int32), logits_V.view(torch.int32))


@given(
    text=texts(),
    penalty=st.floats(0.01, 100),
    frequency=st.floats(-100, 100),
    temperature=st.sampled_from([0.0, 1e-6, 0.7, 5.0]),
    cut=st.sampled_from([{}, {"top_k": 1}, {"top_p": 0.01}, {"min_p": 1.0}]),
    seed=st.integers(0, 99),
)
def test_whatever_is_penalised_a_token_is_left_to_choose(
    text: tuple[torch.Tensor, list[int]],
    penalty: float,
    frequency: float,
    temperature: float,
    cut: dict[str, float],
    seed: int,
) -> None:
    """And where only the best is left, it is the best after the penalties."""
    logits_V, ids = text
    config = SamplingConfig(
        repetition_penalty=penalty, frequency_penalty=frequency, temperature=temperature, **cut
    )
    chosen = make_sampler(config).choose(logits_V, dice(seed), ids)
    penalised_V = CountPenalty(0.0, frequency)(RepetitionPenalty(penalty)(logits_V, ids), ids)
    if cut or temperature < 0.1:
        assert penalised_V[chosen] == pytest.approx(penalised_V.max().item(), abs=1e-3)


def test_greedy_takes_the_best_after_the_penalties() -> None:
    logits_V = torch.tensor([3.0, 2.9, 1.0])
    sampler = make_sampler(SamplingConfig(temperature=0, presence_penalty=0.5))
    assert sampler.choose(logits_V, dice(), [2]) == 0
    assert sampler.choose(logits_V, dice(), [0, 2]) == 1


def test_repetition_comes_before_presence_and_frequency() -> None:
    everything = SamplingConfig(
        repetition_penalty=2, presence_penalty=0.5, frequency_penalty=0.25, penalty_window=7
    )
    sampler = make_sampler(everything)
    assert sampler.penalties == (RepetitionPenalty(2.0, 7), CountPenalty(0.5, 0.25, 7))
    assert sampler.rules == (Temperature(0.8),)
    # 4 / 2 - 0.5 - 0.25 = 1.25; the other way round it would be (4 - 0.75) / 2 = 1.625.
    greedy = make_sampler(
        SamplingConfig(
            temperature=0, repetition_penalty=2, presence_penalty=0.5, frequency_penalty=0.25
        )
    )
    assert greedy.choose(torch.tensor([4.0, 1.4]), dice(), [0]) == 1


def test_without_penalties_the_text_so_far_is_not_looked_at() -> None:
    assert make_sampler(SamplingConfig()).penalties == ()
    assert make_sampler(SamplingConfig(penalty_window=5)).penalties == ()


def test_a_window_forgets_what_is_older() -> None:
    logits_V = torch.zeros(4)
    found = CountPenalty(1.0, 0.0, 2)(logits_V, [0, 1, 2])
    assert found.tolist() == [0.0, -1.0, -1.0, 0.0]
    assert CountPenalty(1.0, 0.0, 9)(logits_V, [0, 1, 2]).tolist() == [-1.0, -1.0, -1.0, 0.0]
