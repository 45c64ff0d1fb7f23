"""The floor of a run's loss, where the source of its text is known; kept with the run.

The stretch that is held out is found by counting bytes, so that any split has its floor: a
text that minitf writes is ASCII, a byte a character.
"""

from __future__ import annotations

from core.config import TextConfig
from core.store.tokens import TokenizedText
from core.text.generated import entropy, floor_of, is_generated
from core.text.markov import chain_of, is_markov, markov_floor

FLOOR_FACTS = ("floor_loss", "floor_se", "entropy_per_char")


def floor_facts(config: TextConfig, text: TokenizedText) -> dict[str, float]:
    """What a run's provenance keeps about its floor; nothing if the source is not known."""
    source = config.source
    if not is_generated(source) and not is_markov(source):
        return {}
    begin = text.tokenizer.count_bytes(text.train_ids)
    end = begin + text.tokenizer.count_bytes(text.validation_ids)
    stretch = source, begin, end, len(text.validation_ids)
    if is_generated(source):
        floor, per_char = floor_of(*stretch), entropy().nats_per_char
    else:
        floor, per_char = markov_floor(*stretch), chain_of(source).entropy()
    return dict(zip(FLOOR_FACTS, (floor.loss, floor.se, per_char), strict=True))
