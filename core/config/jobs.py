"""Settings of what is done with a trained model: writing, and timing it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from core.errors import ConfigError
from core.fields import MAX_SEED, at_least, check_types, default, in_choices, setting

MAX_COUNT = 256
CACHES = ("static", "none", "window", "sinks", "int8")
"""Kinds of KV cache; the last three are approximate."""
WINDOW, SINKS = 256, 4
"""Positions that the windowed ones keep, unless somebody says otherwise."""
CACHE_HELP = "keys and values kept; window, sinks and int8 are approximate"
WINDOW_HELP = "newest positions that cache window or sinks keeps"
SINKS_HELP = "first positions that cache sinks keeps too"
ENGINES = ("auto", "torch", "fast", "graph")
STORED = "stored"
WEIGHT_BITS = (STORED, "8", "4")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    """The KV cache through which a text is scored."""

    cache: str = setting("none", CACHE_HELP, choices=CACHES)
    window: int = setting(WINDOW, WINDOW_HELP, unit="tokens")
    sinks: int = setting(SINKS, SINKS_HELP, unit="tokens")

    def __post_init__(self) -> None:
        check_types(self)
        in_choices(self)
        at_least(self, 1, "window")
        at_least(self, 0, "sinks")

    @property
    def label(self) -> str:
        """What it keeps, short: "window 256", "sinks 4 + 256"."""
        kept = {"window": f" {self.window}", "sinks": f" {self.sinks} + {self.window}"}
        return self.cache + kept.get(self.cache, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    """How a text is continued. Penalties and rules apply in this order, over the full
    vocabulary; the penalties count the tokens of the prompt as well as those written."""

    prompt: str = setting("", "text to continue; empty takes held-out text")
    max_new_tokens: int = setting(200, "tokens to generate", unit="tokens")
    count: int = setting(1, "continuations, written side by side; each has the next seed")
    stop: tuple[str, ...] = setting((), "end before this text; \\n is a line break")
    repetition_penalty: float = setting(1.0, "make every token seen less likely; 1 is off")
    presence_penalty: float = setting(0.0, "taken off the logit of a token seen; 0 is off")
    frequency_penalty: float = setting(0.0, "taken off for each time it was seen; 0 is off")
    penalty_window: int = setting(
        0, "newest tokens that count as seen; 0 is all, with the prompt", unit="tokens"
    )
    temperature: float = setting(0.8, "0 is greedy; 1 is the model's own distribution")
    top_k: int = setting(0, "keep the k most likely tokens; 0 is off", unit="tokens")
    top_p: float = setting(1.0, "keep the fewest tokens that sum to p; 1 is off")
    min_p: float = setting(0.0, "drop tokens below this share of the best one; 0 is off")
    seed: int = setting(0, "seed of the dice")
    cache: str = setting("static", CACHE_HELP, choices=CACHES)
    window: int = setting(WINDOW, WINDOW_HELP, unit="tokens")
    sinks: int = setting(SINKS, SINKS_HELP, unit="tokens")
    engine: str = setting("auto", "what decodes; auto takes the faster one", choices=ENGINES)
    bits: str = setting(
        STORED, "of each weight: as stored, or rounded to 8 or 4 on the fly", choices=WEIGHT_BITS
    )

    @property
    def weight_bits(self) -> int:
        """8 or 4; 0 is as stored."""
        return 0 if self.bits == STORED else int(self.bits)

    @property
    def is_exact(self) -> bool:
        """Promises the plain model's own numbers up to rounding."""
        return self.bits == STORED and self.cache in ("static", "none")

    def __post_init__(self) -> None:
        check_types(self)
        in_choices(self)
        at_least(self, 1, "max_new_tokens", "count", "window")
        if self.count > MAX_COUNT:
            raise ConfigError(
                f"count={self.count} is above {MAX_COUNT}: all are written at once.",
                hint="Write some, then others with another seed.",
            )
        at_least(self, 0, "temperature", "top_k", "seed", "penalty_window", "sinks")
        self._check_penalties()
        if "" in self.stop:
            raise ConfigError("A stop string is empty.", hint="Give at least one character.")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p={self.top_p:g} is not in (0, 1].", hint="Try top_p=0.9.")
        if not 0 <= self.min_p <= 1:
            raise ConfigError(f"min_p={self.min_p:g} is not in [0, 1].", hint="Try min_p=0.05.")
        if self.seed + self.count - 1 > MAX_SEED:
            last = f" for the last of {self.count}" if self.count > 1 else ""
            seed = self.seed + self.count - 1
            raise ConfigError(f"seed={seed}{last} is above {MAX_SEED}.", hint="Try a smaller seed.")

    def _check_penalties(self) -> None:
        # Beyond these a float32 logit could overflow, and nobody could tell the difference.
        if not 0.01 <= self.repetition_penalty <= 100:
            raise ConfigError(
                f"repetition_penalty={self.repetition_penalty:g} is not in [0.01, 100].",
                hint="Try repetition_penalty=1.2; 1 is off.",
            )
        for name in ("presence_penalty", "frequency_penalty"):
            if not -100 <= getattr(self, name) <= 100:
                raise ConfigError(
                    f"{name}={getattr(self, name):g} is not in [-100, 100].",
                    hint=f"Try {name}=0.5; 0 is off.",
                )


DTYPES = ("auto", "float32", "bfloat16")
BITS = (0, 8, 4)
RIVALS = ("transformers", "llama.cpp")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchConfig:
    """Which ways to decode are timed, and how well.

    Every combination of the lists is a variant, if this model and machine can do it. A single
    value may stand for a list of one.
    """

    n: int = setting(128, "tokens decoded in a repetition", unit="tokens")
    reps: int = setting(5, "counted repetitions of each variant, at least")
    warmup: int = setting(
        1, "repetitions before, at least; more until they get no faster; 0 is none at all"
    )
    precision: float = setting(
        0.02, "repeat until half the 95 % interval is this share of the mean; 0 is never"
    )
    seconds: float = setting(60.0, "time after which no more than reps are made", unit="s")
    engines: tuple[str, ...] = setting(
        ("torch", "fast"),
        "what decodes; torch is the reference, graph is for CUDA",
        choices=ENGINES[1:],
        items=str,
    )
    caches: tuple[str, ...] = setting(
        ("none", "static"), "how keys and values are kept", choices=CACHES, items=str
    )
    window: int = setting(256, "newest positions that cache window or sinks keeps", unit="tokens")
    sinks: int = setting(4, "first positions that cache sinks keeps too", unit="tokens")
    dtype: tuple[str, ...] = setting(
        ("auto",), "type of matrix products", choices=DTYPES, items=str
    )
    bits: tuple[int, ...] = setting(
        (0,), "of each weight: 0 as stored, 8 or 4 rounded to the nearest", items=int
    )
    threads: tuple[int, ...] = setting((0,), "0 takes one a core", items=int)
    prompt_tokens: tuple[int, ...] = setting(
        (16,), "held-out tokens read before the first new one", unit="tokens", items=int
    )
    depths: tuple[int, ...] = setting(
        (0,), "positions held when decoding begins; 0 is the prompt", unit="tokens", items=int
    )
    compare: tuple[str, ...] = setting(
        (), "other programs, on the same weights", choices=RIVALS, items=str
    )

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if type(item.default) is tuple and type(value) in (str, int):
                object.__setattr__(self, item.name, (value,))
        check_types(self)
        in_choices(self)
        at_least(self, 2, "n")
        at_least(self, 1, "reps", "prompt_tokens", "window")
        at_least(self, 0, "warmup", "precision", "seconds", "threads", "depths", "sinks")
        for name in ("engines", "caches", "dtype", "bits", "threads", "prompt_tokens", "depths"):
            if not getattr(self, name):
                raise ConfigError(
                    f"{name} is empty, so that there is nothing to time.",
                    hint=f"The default is {', '.join(map(str, default(self, name)))}.",
                )
        for bits in self.bits:
            if bits not in BITS:
                raise ConfigError(
                    f"bits={bits} is not one of {', '.join(map(str, BITS))}.",
                    hint="0 takes the weights as they are stored.",
                )
