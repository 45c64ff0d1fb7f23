"""What is read, and how it becomes tokens."""

from __future__ import annotations

from dataclasses import dataclass

from core.config.written import (
    GENERATED,
    LARGEST_SIZES,
    MARKOV,
    MAX_ALPHABET,
    MAX_GENERATED,
    MAX_OF_TASK,
    MAX_STATES,
    TASK_SIZES,
    TASKS,
    WRITTEN,
)
from core.errors import ConfigError, did_you_mean
from core.fields import at_least, check_types, in_choices, setting

TOKENIZERS = ("bpe", "byte", "char")
MIN_BPE_VOCAB = 260
MAX_VOCAB = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """What is read, and how it becomes tokens."""

    corpus: str = setting(
        "python-docs",
        "a UTF-8 text file, a folder of them, a pattern as in 'src/**/*.md', - for stdin,"
        " python-docs (the reference that comes with Python), python-source (its library),"
        " generated (small stories of known entropy), markov (characters of known entropy),"
        " or a task with exact answers: " + ", ".join(TASKS),
    )
    generated_chars: int = setting(
        2_000_000, "length of a corpus that minitf writes, to the end of a story", unit="characters"
    )
    generated_seed: int = setting(0, "seed of a corpus that minitf writes")
    markov_order: int = setting(2, "characters on which each of the corpus markov depends")
    markov_alphabet: int = setting(8, "different characters in the corpus markov, 2 to 27")
    task_size: int = setting(
        0, "longest problem of a task in letters or digits, or the modulus; 0 is the task's own"
    )
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
        at_least(self, 0, "max_tokens", "generated_seed", "task_size")
        at_least(self, 1, "generated_chars", "markov_order")
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
        self._check_markov()
        if self.is_task:
            self._check_task()

    @property
    def is_task(self) -> bool:
        """Whether the corpus is one of problems with exact answers."""
        return self.corpus.startswith("task:")

    @property
    def is_written(self) -> bool:
        """Whether minitf writes the corpus itself: the settings are all that it takes."""
        return self.corpus in WRITTEN

    @property
    def source(self) -> str:
        """The corpus, with what else decides its text."""
        drawn = f"{self.generated_chars}:{self.generated_seed}"
        if self.corpus == GENERATED:
            return f"{GENERATED}:{drawn}"
        if self.corpus == MARKOV:
            return f"{MARKOV}:{self.markov_order}:{self.markov_alphabet}:{drawn}"
        if self.corpus in TASKS:
            return f"{self.corpus}:{self.task_size or TASK_SIZES[self._task]}:{drawn}"
        return self.corpus

    @property
    def _task(self) -> str:
        return self.corpus.split(":")[1]

    def _check_markov(self) -> None:
        if not 2 <= self.markov_alphabet <= MAX_ALPHABET:
            raise ConfigError(
                f"markov_alphabet={self.markov_alphabet} is not between 2 and {MAX_ALPHABET}.",
                hint="A space and up to 26 letters.",
            )
        if self.markov_alphabet**self.markov_order > MAX_STATES:
            raise ConfigError(
                f"markov_order={self.markov_order} of markov_alphabet={self.markov_alphabet} makes"
                f" more than {MAX_STATES} contexts.",
                hint="Try markov_order=2.",
            )

    def _check_task(self) -> None:
        if self.corpus not in TASKS:
            raise ConfigError(
                f"There is no task {self.corpus!r}.", hint=did_you_mean(self.corpus, TASKS)
            )
        if self.tokenizer == "bpe":
            raise ConfigError(
                f"{self.corpus} does not go with tokenizer=bpe, which would join questions and"
                " answers.",
                hint="Try tokenizer=char.",
            )
        largest = LARGEST_SIZES[self._task]
        if self.task_size > largest or (self._task, self.task_size) == ("modular", 1):
            raise ConfigError(
                f"task_size={self.task_size} is not one that {self.corpus} has.",
                hint=f"It goes up to {largest}; 0 takes {TASK_SIZES[self._task]}.",
            )
        if self.generated_chars > MAX_OF_TASK:
            raise ConfigError(
                f"generated_chars={self.generated_chars} is above {MAX_OF_TASK}, the most for a"
                " task.",
                hint="Its problems are kept in memory, for none may come twice.",
            )
