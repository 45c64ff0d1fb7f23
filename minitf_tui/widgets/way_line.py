"""How a text is written: engine, cache and bits, their speed beside others, and their proof."""

from __future__ import annotations

from textual.widgets import Static

from core.config import SamplingConfig
from core.events import GenerationProved, PromptRead
from minitf_tui.ways import way_lines, way_name


class WayLine(Static):
    """Keeps the speed of each way in which a prompt was written, and shows the newest."""

    def __init__(self) -> None:
        super().__init__("", id="way", markup=False)
        self._sampling = SamplingConfig()
        self._read: PromptRead | None = None
        self._proved: GenerationProved | None = None
        self._speeds: dict[str, float] = {}
        """The newest last."""
        self._shown: tuple[object, ...] = ()

    def begin(self, sampling: SamplingConfig) -> None:
        """Another text, or the proof of another way, from now on."""
        if sampling.prompt != self._sampling.prompt:
            self._speeds.clear()
        self._sampling, self._read, self._proved = sampling, None, None
        self.tell()

    def hear_read(self, event: PromptRead) -> None:
        """The engine that writes is known."""
        self._read = event
        self.tell()

    def hear_speed(self, tokens_per_s: float) -> None:
        """How fast it is."""
        if self._read and tokens_per_s > 0:
            name = way_name(self._sampling, self._read.engine)
            self._speeds.pop(name, None)
            self._speeds[name] = tokens_per_s
            self.tell()

    def hear_proof(self, event: GenerationProved) -> None:
        """How near it is to the plain model."""
        self._proved = event
        self.tell()

    def tell(self) -> None:
        """Show it, where that is new."""
        state = (self._sampling, self._read, self._proved, tuple(self._speeds.items()))
        if state != self._shown:
            self._shown = state
            self.update(way_lines(self._sampling, self._read, self._speeds, self._proved))
