"""What is read, and how it becomes tokens."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import ConfigError
from core.fields import at_least, check_types, in_choices, setting

TOKENIZERS = ("bpe", "byte", "char")
MIN_BPE_VOCAB = 260
MAX_VOCAB = 1_000_000
MAX_GENERATED = 10_000_000_000
GENERATED = "generated"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """What is read, and how it becomes tokens."""

    corpus: str = setting(
        "python-docs",
        "a UTF-8 text file, a folder of them, a pattern as in 'src/**/*.md', - for stdin,"
        " python-docs (the reference that comes with Python), python-source (its library), or"
        " generated (small stories of known entropy)",
    )
    generated_chars: int = setting(
        2_000_000, "length of the corpus generated, to the end of a story", unit="characters"
    )
    generated_seed: int = setting(0, "seed of the corpus generated")
    tokenizer: str = setting("bpe", "how text becomes tokens", choices=TOKENIZERS)
    vocab_size: int = setting(1024, "token ids of a bpe tokenizer, 260 or more", unit="tokens")
    fixed_vocab: bool = setting(
        False, "give the model all vocab_size ids, also where the text yields fewer tokens"
    )
    validation_fraction: float = setting(0.1, "share of the text held out, from its end")
    max_tokens: int = setting(
        0, "keep only the first tokens, and split those; 0 keeps all", unit="tokens"
    )

    def __post_init__(self) -> None:
        check_types(self)
        in_choices(self)
        at_least(self, 0, "max_tokens", "generated_seed")
        at_least(self, 1, "generated_chars")
        if not self.corpus:
            raise ConfigError("The corpus has no name.", hint="Name a text file, or python-docs.")
        if self.tokenizer == "bpe" and self.vocab_size < MIN_BPE_VOCAB:
            raise ConfigError(
                f"vocab_size={self.vocab_size} is below {MIN_BPE_VOCAB}, the least for bpe.",
                hint="Try vocab_size=1024, or tokenizer=byte.",
            )
        if self.vocab_size > MAX_VOCAB:
            raise ConfigError(
                f"vocab_size={self.vocab_size} is above {MAX_VOCAB}, the most for bpe.",
                hint="Small models learn best with 512 to 8192.",
            )
        if self.generated_chars > MAX_GENERATED:
            raise ConfigError(
                f"generated_chars={self.generated_chars} is above {MAX_GENERATED}.",
                hint="10000000 is more than a small model can use.",
            )
        if not 0 < self.validation_fraction < 1:
            raise ConfigError(
                f"validation_fraction={self.validation_fraction:g} is not between 0 and 1.",
                hint="The usual value is 0.1.",
            )

    @property
    def source(self) -> str:
        """The corpus, with what else decides its text."""
        if self.corpus != GENERATED:
            return self.corpus
        return f"{GENERATED}:{self.generated_chars}:{self.generated_seed}"
