"""How the weights of a model are made small."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import ConfigError
from core.fields import at_least, check_types, in_choices, setting

METHODS = ("gptq", "search", "nearest")
BITS = (8, 4)
GROUP_SIZES = (0, 32, 64, 128)
HEAD_BITS = (0, *BITS, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeConfig:
    """What `minitf quantize` does. A pattern is a parameter's name, in which * stands for
    anything: "blocks.0.*"."""

    bits: int = setting(8, "of a weight: 8 or 4")
    group_size: int = setting(
        0, "32, 64 or 128 weights share a scale; 0 is 32 with 4 bits, a whole row with 8"
    )
    method: str = setting(
        "gptq",
        "rounding: each column making good the errors of others, the best scales, or plain",
        choices=METHODS,
    )
    asymmetric: bool = setting(False, "4 bits: groups have a zero of their own too")
    head_bits: int = setting(0, "of embeddings and head: 8, 4 or 32; 0 is 8 in any case")
    keep: tuple[str, ...] = setting((), "leave this matrix, or *, in 32 bits")
    eight: tuple[str, ...] = setting((), "give this matrix, or *, 8 bits")
    calibration_tokens: int = setting(
        32_768, "of training text, read to weigh errors", unit="tokens"
    )
    eval_tokens: int = setting(32_768, "of held-out text, at most, scored by both", unit="tokens")

    def __post_init__(self) -> None:
        check_types(self)
        in_choices(self)
        at_least(self, 256, "calibration_tokens")
        at_least(self, 2, "eval_tokens")
        self._check_among("bits", BITS)
        self._check_among("group_size", GROUP_SIZES)
        self._check_among("head_bits", HEAD_BITS)
        if self.asymmetric and self.bits == 8:
            raise ConfigError(
                "asymmetric is for 4 bits, and bits=8.", hint="Leave it out, or give bits=4."
            )

    def _check_among(self, name: str, known: tuple[int, ...]) -> None:
        value = getattr(self, name)
        if value not in known:
            *others, last = map(str, known)
            raise ConfigError(
                f"{name}={value} is not a choice.", hint=f"Try {', '.join(others)} or {last}."
            )

    @property
    def group(self) -> int:
        """Columns that share a scale; 0 is a whole row."""
        return self.group_size or (32 if self.bits == 4 else 0)
