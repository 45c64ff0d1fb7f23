"""What is known of one variant while it is timed, and the cells that come of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from core.events import BenchCell, Proof, RepetitionCompleted, Verdict
from core.measure.memory import peak_bytes, set_back_peak
from core.measure.repetition import Contestant, IsStopping, Repetition
from core.measure.statistics import interval, outliers, summarize

STABLE_OVER = 3
"""Repetitions that are looked at to say that warming up is over."""
STABLE_SPREAD = 0.05


@dataclass(slots=True)
class Course:
    """One variant's warm-ups and repetitions so far."""

    contestant: Contestant
    device: str
    proof: Proof | None = None
    judge: Callable[[float], Verdict] | None = None
    """What bounds it, if it decodes that many tokens a second."""
    warm_ups: list[Repetition] = field(default_factory=list)
    counted: list[Repetition] = field(default_factory=list)
    peak: int | None = None

    @property
    def is_stable(self) -> bool:
        """Warm-ups do not get faster any more."""
        return is_stable([done.decode_ms for done in self.warm_ups])

    @property
    def token_ms(self) -> list[float]:
        """Decode time of a token, of each counted repetition."""
        return [done.decode_ms / max(1, done.tokens) for done in self.counted]

    def warm_up(self, is_stopping: IsStopping) -> RepetitionCompleted:
        """One more; the first one is also watched for its memory."""
        is_watched = not self.warm_ups and set_back_peak(self.device)
        done = self.contestant.repeat(is_stopping)
        if is_watched:
            self.peak = peak_bytes(self.device)
        self.warm_ups.append(done)
        return self._told(done, 1 - len(self.warm_ups), is_stable=self.is_stable)

    def repeat(self, is_stopping: IsStopping) -> RepetitionCompleted:
        """One more that counts."""
        done = self.contestant.repeat(is_stopping)
        self.counted.append(done)
        return self._told(done, len(self.counted), is_stable=True)

    def cells(self) -> tuple[BenchCell, BenchCell]:
        """Prefill and decode, of the repetitions counted so far: one or more."""
        variant, last = self.contestant.variant, self.counted[-1]
        before, prompt = variant.depth - variant.prompt_tokens, variant.prompt_tokens
        prefill = [done.prefill_ms for done in self.counted]
        decode = [done.decode_ms for done in self.counted]
        return (
            self._cell("prefill", before, prompt, prefill, last.prefill_bytes),
            self._cell("decode", variant.depth, last.tokens, decode, last.decode_bytes),
        )

    def _cell(
        self, phase: str, depth: int, tokens: int, samples: Sequence[float], held: int
    ) -> BenchCell:
        found, proof = summarize(samples), self.proof
        speed = 1000 * tokens / found.median
        return BenchCell(
            variant=self.contestant.variant,
            phase=phase,
            depth=depth,
            tokens=tokens,
            mean_ms=found.mean,
            sd_ms=found.sd,
            median_ms=found.median,
            min_ms=found.min,
            samples_ms=tuple(samples),
            tokens_per_s=speed,
            cache_bytes=held,
            outliers=outliers(samples),
            interval_ms=interval(samples),
            peak_bytes=self.peak,
            warm_ups=len(self.warm_ups),
            verdict=self.judge(speed) if self.judge and phase == "decode" else None,
            proof=proof,
            is_ranked=proof is None or proof.passes or not proof.is_exact,
        )

    def _told(self, done: Repetition, index: int, *, is_stable: bool) -> RepetitionCompleted:
        return RepetitionCompleted(
            variant=self.contestant.variant,
            index=index,
            prefill_ms=done.prefill_ms,
            decode_ms=done.decode_ms,
            tokens=done.tokens,
            is_stable=is_stable,
            steps_ms=done.steps_ms,
            interval_ms=interval([one.decode_ms for one in self.counted]),
        )


def is_stable(times: Sequence[float]) -> bool:
    """The last three lie within 5 %, or the newest is not the fastest of them: no more trend."""
    last = times[-STABLE_OVER:]
    if len(last) < STABLE_OVER:
        return False
    return max(last) - min(last) <= STABLE_SPREAD * min(last) or last[-1] > min(last)
