"""The floor of a run's loss, where the source of its text is known; kept with the run.

The stretch that is held out is found by counting bytes, so that any split has its floor: a
generated text is ASCII, a byte a character.
"""

from __future__ import annotations

from core.config import TextConfig
from core.store.tokens import TokenizedText
from core.text.generated import entropy, floor_of, is_generated

FLOOR_FACTS = ("floor_loss", "floor_se", "entropy_per_char")


def floor_facts(config: TextConfig, text: TokenizedText) -> dict[str, float]:
    """What a run's provenance keeps about its floor; nothing if the source is not known."""
    if not is_generated(config.source):
        return {}
    begin = text.tokenizer.count_bytes(text.train_ids)
    end = begin + text.tokenizer.count_bytes(text.validation_ids)
    floor = floor_of(config.source, begin, end, len(text.validation_ids))
    values = (floor.loss, floor.se, entropy().nats_per_char)
    return dict(zip(FLOOR_FACTS, values, strict=True))
