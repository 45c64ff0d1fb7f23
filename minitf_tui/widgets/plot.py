"""A plot. It is told what to show, and repaints the rows that became different."""

from __future__ import annotations

from textual.color import Color
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.theme import Theme
from textual.widget import Widget

from minitf_tui.figure import RGB, Figure, Palette

COLOURS = ("accent", "primary", "secondary", "warning", "error", "success", "ghost", "quiet")
GREY: RGB = (136, 136, 136)


class Plot(Widget):
    """Draws a figure as large as it is itself."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Plot { width: 1fr; height: 1fr; min-width: 20; min-height: 5; }
    """

    def __init__(self, figure: Figure, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.figure = figure
        self._strips: list[Strip] = []
        self._drawn_at: Size | None = None

    def on_mount(self) -> None:
        """What can be done only once it is on the screen."""
        self.app.theme_changed_signal.subscribe(self, self._recolour)

    def show(self, figure: Figure) -> None:
        """Draw `figure` now; only rows that changed go to the terminal."""
        self.figure = figure
        old, size = self._strips, self.size
        if not self.is_attached or not size.height or self._drawn_at != size:
            self._drawn_at = None
            self.refresh()
            return
        self._draw(size)
        pairs = enumerate(zip(old, self._strips, strict=True))
        changed = [Region(0, y, size.width, 1) for y, (a, b) in pairs if a != b]
        if changed:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        """One row of cells."""
        if self._drawn_at != self.size:
            self._draw(self.size)
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width)

    def _recolour(self, _theme: Theme) -> None:
        self._drawn_at = None
        self.refresh()

    def _draw(self, size: Size) -> None:
        base = self.rich_style
        if any(len(curve.x) for curve in self.figure.curves):
            from minitf_tui import plotting

            try:
                strips = plotting.draw(self.figure, *size, self._palette(), base)
            except Exception as error:  # a plot must never take the app down
                self.log.error(f"plot failed: {error!r}")
                strips = []
        else:
            strips = []
        blank = [Strip.blank(size.width, base)] * (size.height - len(strips))
        self._strips, self._drawn_at = [*strips, *blank][: size.height], size

    def _palette(self) -> Palette:
        colours = {name: self._rgb(name) for name in COLOURS}
        return Palette(colours, text=self._rgb("foreground"), quiet=colours["quiet"])

    def _rgb(self, name: str) -> RGB:
        value = self.app.theme_variables.get(name)
        if value is None:  # themes of others lack our two greys
            strength = {"ghost": 0.25, "quiet": 0.6}.get(name, 1.0)
            value = self.app.theme_variables.get("foreground", "")
            back = self._parsed(self.app.theme_variables.get("background", ""))
            return back.blend(self._parsed(value), strength).rgb
        return self._parsed(value).rgb

    @staticmethod
    def _parsed(value: str) -> Color:
        try:
            colour = Color.parse(value)
        except ValueError:
            return Color(*GREY)
        # One of the terminal's sixteen is drawn as it usually looks; its default is not known.
        is_unknown = colour.ansi is not None and colour.ansi < 0
        return Color(*(GREY if is_unknown else colour.rgb))
