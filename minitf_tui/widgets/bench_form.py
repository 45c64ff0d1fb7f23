"""The grid of a benchmark as a form: lists with commas, suggestions, and plans to begin with."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from core.config import BenchConfig
from core.errors import ConfigError
from core.fields import flag_fields
from minitf_tui import format as fmt
from minitf_tui.problems import explain
from minitf_tui.widgets.form import Form, Item, items_of, shown

RUN = Item("run", "last", "which run: a name, last, best, or one of them with @STEP")
COMMON = ("engines", "caches", "bits", "threads", "depths")
RARE = ("dtype", "n", "prompt_tokens", "reps", "warmup", "precision", "seconds", "compare")
"""Folded away on a small screen while nobody is in the form."""
GRID = ("engines", "caches", "dtype", "bits", "threads", "prompt_tokens", "depths")
"""Lists whose every combination is a variant."""
CHOICES = {about.name: about.metadata["choices"] for _, about in flag_fields(BenchConfig())}
CACHES = CHOICES["caches"]
NUMBERS = {
    "bits": ("0", "8", "4"),
    "threads": ("1", "2", "4"),
    "depths": ("64", "256", "1024", "2048"),
    "prompt_tokens": ("16", "64", "256"),
}
"""Suggested where any number may be typed."""

PLANS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("with and without a cache", {}),
    ("what fewer bits gain and cost", {"caches": ("static",), "bits": (0, 8, 4)}),
    ("latency against depth", {"engines": ("torch",), "n": 32, "depths": (16, 64, 128, 192)}),
    ("every kind of cache", {"engines": ("torch",), "caches": CACHES}),
    ("how threads help", {"caches": ("static",), "threads": (1, 2)}),
    ("against itself: the noise", {"engines": ("torch", "torch"), "caches": ("static",)}),
)
"""A name, and what differs from the defaults."""


def items() -> list[Item]:
    """The run, and the fields of a benchmark with what may be typed there."""
    found = [RUN]
    for item in items_of(BenchConfig(), (*COMMON, *RARE)):
        words = tuple(CHOICES[item.name] or NUMBERS.get(item.name, ()))
        if item.items and words:
            told = f"{item.help}; {', '.join(words)}" if CHOICES[item.name] else item.help
            item = dataclasses.replace(item, help=f"{told} (→ completes)", suggestions=words)
        found.append(item)
    return found


class BenchForm(Form):
    """Asks which ways to decode are timed, and tells how many they are."""

    def __init__(self) -> None:
        super().__init__(items(), columns=3)
        self._plan = 0

    def on_mount(self) -> None:
        """What can be done only once it is on the screen."""
        for name in RARE:
            self.query_one(f"#row-{name}").add_class("-rare")

    def config(self) -> tuple[str, BenchConfig]:
        """The run and the benchmark that stand in the fields.

        Raises:
            ConfigError: they make no sense.
        """
        values = self.values()
        run = values.pop(RUN.name) or str(RUN.value)
        return run, BenchConfig(**values)

    def next_plan(self) -> None:
        """Fill in the plan after the one that was filled in last; the run stays."""
        self._plan = (self._plan + 1) % len(PLANS)
        self.fill(self._values_of(PLANS[self._plan][0]))

    def tell(self) -> None:
        """What the values amount to, in a line."""
        try:
            _, bench = self.config()
        except ConfigError as error:
            self.summarise(explain(error).splitlines()[0])
            return
        n = math.prod(len(getattr(bench, name)) for name in GRID) + len(bench.compare)
        plan = next((name for name, _ in PLANS if self._is(name)), "a plan of your own")
        words = f"{plan}: up to {fmt.plural(n, 'variant')} in about {bench.seconds:g} s"
        self.summarise(f"{words}   p another plan")

    def _is(self, plan: str) -> bool:
        texts, wanted = self.texts(), self._values_of(plan)
        return all(texts[name].replace(" ", "") == shown(v) for name, v in wanted.items())

    def _values_of(self, plan: str) -> dict[str, Any]:
        changes = dict(PLANS)[plan]
        return {item.name: item.value for item in self.items if item.name != RUN.name} | changes
