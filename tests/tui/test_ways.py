"""How a text is written: its name, what it cannot promise, its proof, its speed beside others."""

from __future__ import annotations

import pytest

from core.config import SamplingConfig
from core.events import GenerationProved, PromptRead
from minitf_tui.ways import PROVE, way_lines, way_name
from tests.tui.bench_story import FAST8, PROOFS, STATIC, proof
from tests.tui.pilot import screen_text, settle
from tests.tui.scripted import Script, app_with
from tests.tui.stories import generation_story

STORED, ROUNDED = SamplingConfig(), SamplingConfig(bits="8", cache="window", window=32)


def read(note: str = "", engine: str = "torch") -> PromptRead:
    return PromptRead(
        prompt="x", prompt_tokens=1, context=9, prefill_ms=1.0, note=note, engine=engine
    )


def test_a_way_is_named_by_engine_cache_and_bits() -> None:
    assert way_name(STORED, "fast") == "fast KV cache"
    assert way_name(STORED, "") == "auto KV cache"
    assert way_name(ROUNDED, "torch") == "torch window of 32 int8"


@pytest.mark.parametrize(
    ("sampling", "proved", "words"),
    [
        (STORED, None, f"torch KV cache   {PROVE}"),
        (ROUNDED, None, f"torch window of 32 int8  ≈ approximate   {PROVE}"),
        (STORED, PROOFS[STATIC], "✓ 64 of 64 tokens the same   KLD 1.2e-09, logits ± 2.1e-06"),
        (ROUNDED, PROOFS[FAST8], "≈ approximate: 62 of 64 tokens the same   KLD 4.1e-04"),
        (
            STORED,
            proof(identical_tokens=3, near_ties=1, passes=False),
            "✗ 3 of 64 tokens the same, 1 near tie: the proof fails",
        ),
    ],
)
def test_a_way_says_what_it_promises_and_what_was_proved(sampling, proved, words) -> None:
    event = GenerationProved(engine="torch", proof=proved) if proved else None
    assert words in way_lines(sampling, read(), {}, event).plain


def test_speeds_stand_beside_those_of_other_ways_and_a_note_is_told() -> None:
    speeds = {"torch no cache": 100.0, "torch KV cache": 250.0}
    text = way_lines(STORED, read("No fast engine.\x1b[2J"), speeds, None).plain
    assert "250 tok/s: 2.50× of torch no cache" in text
    assert text.endswith("No fast engine.·[2J")


async def test_keys_switch_engine_cache_and_bits_and_p_proves_them() -> None:
    proved = GenerationProved(engine="torch", proof=PROOFS[FAST8], note="[/no]\x1b")
    app = app_with(generation=Script(generation_story()), proving=Script([proved]))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4", "e", "c", "b", "g")
        await settle(pilot)
        await pilot.press("p")
        await settle(pilot)
        text = screen_text(app)
    for kind, _, sampling in app.asked:  # type: ignore[attr-defined]
        assert (sampling.engine, sampling.cache, sampling.bits) == ("torch", "none", "8"), kind
    assert [asked[0] for asked in app.asked] == ["generation", "proving"]  # type: ignore[attr-defined]
    assert "62 of 64 tokens the same" in text
    assert "[/no]·" in text
    assert "Binary sequence types are objects." in text


async def test_what_is_being_written_begins_again_with_another_cache() -> None:
    first = Script(generation_story()[:3], waits=True)
    app = app_with(generation=[first, Script(generation_story())])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4", "g")
        await pilot.pause()
        await pilot.press("c")
        await settle(pilot)
    assert first.stopped.is_set()
    assert [asked[2].cache for asked in app.asked] == ["static", "none"]  # type: ignore[attr-defined]
