"""Draw the pictures of the README and the guide from a real run: `make pictures`.

The app runs without a terminal, on a data folder of its own, is driven by keys as a person
would, and its cells are drawn one by one with the font that matplotlib brings along. Takes
about four minutes; nothing in the pictures is made up.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import matplotlib
from PIL import Image, ImageDraw, ImageFont
from rich.color import Color
from rich.style import Style
from textual.pilot import Pilot

HERE = Path(__file__).parent
FONT_SIZE = 20
CELL_HEIGHT = 23
BRAILLE = range(0x2800, 0x2900)
DOTS = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
"""Column and row of each bit of a braille cell."""
SIZE = (120, 36)
MIDDLE_STEP = 420
"""Where the picture of a run in progress is taken."""


class Canvas:
    """Cells, each with one character and two colours."""

    def __init__(self, columns: int, rows: int) -> None:
        fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
        self._fonts = {
            bold: ImageFont.truetype(fonts / f"DejaVuSansMono{'-Bold' * bold}.ttf", FONT_SIZE)
            for bold in (False, True)
        }
        self._width = round(self._fonts[False].getlength("M"))
        self.image = Image.new("RGB", (columns * self._width, rows * CELL_HEIGHT))
        self._draw = ImageDraw.Draw(self.image)

    def put(self, column: int, row: int, character: str, style: Style) -> None:
        """Draw one cell."""
        front, back = _rgb(style.color, 211), _rgb(style.bgcolor, 15)
        if style.reverse:
            front, back = back, front
        x, y = column * self._width, row * CELL_HEIGHT
        self._draw.rectangle((x, y, x + self._width - 1, y + CELL_HEIGHT - 1), fill=back)
        code = ord(character)
        if code in BRAILLE:
            self._put_dots(x, y, code - BRAILLE.start, front)
        elif 0x2580 <= code <= 0x259F and code != 0x2592:
            self._put_block(x, y, code, front)
        elif not character.isspace():
            font = self._fonts[bool(style.bold)]
            self._draw.text((x, y), character, font=font, fill=front)

    def _put_dots(self, x: int, y: int, bits: int, colour: tuple[int, int, int]) -> None:
        for bit, (right, down) in enumerate(DOTS):
            if bits >> bit & 1:
                middle_x = x + self._width * (0.25 + 0.5 * right)
                middle_y = y + CELL_HEIGHT * (0.125 + 0.25 * down)
                box = (middle_x - 1.7, middle_y - 1.7, middle_x + 1.7, middle_y + 1.7)
                self._draw.ellipse(box, fill=colour)

    def _put_block(self, x: int, y: int, code: int, colour: tuple[int, int, int]) -> None:
        """Full, left and lower blocks fill their cells, so that neighbours touch."""
        right, top = x + self._width - 1, y
        if 0x2589 <= code <= 0x258F:
            right = x + round(self._width * (0x2590 - code) / 8) - 1
        elif 0x2581 <= code <= 0x2587:
            top = y + round(CELL_HEIGHT * (1 - (code - 0x2580) / 8))
        self._draw.rectangle((x, top, right, y + CELL_HEIGHT - 1), fill=colour)


def _rgb(colour: Color | None, grey: int) -> tuple[int, int, int]:
    if colour is None or colour.is_default:
        return (grey, grey, grey)
    return tuple(colour.get_truecolor())  # type: ignore[return-value]


def snap(app: Any, name: str) -> None:
    """Save what the app shows."""
    strips = app.screen._compositor.render_strips()
    canvas = Canvas(app.size.width, app.size.height)
    for row, strip in enumerate(strips):
        column = 0
        for segment in strip:
            for character in segment.text:
                canvas.put(column, row, character, segment.style or Style())
                column += 1
    path = HERE / f"{name}.png"
    canvas.image.quantize(255, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size // 1024} KiB", flush=True)


@asynccontextmanager
async def opened(size: tuple[int, int] = SIZE) -> AsyncIterator[tuple[Any, Pilot[Any]]]:
    """The real app over the real engine."""
    from minitf_tui.app import MinitfApp

    app = MinitfApp()
    async with app.run_test(size=size) as pilot:
        yield app, pilot


async def until(pilot: Pilot[Any], is_so: Callable[[], bool], seconds: float = 600) -> None:
    """Wait as a person would, while the app goes on."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError("the app did not get there")
        await asyncio.sleep(0.1)
    await pilot.pause(0.5)


def steps_of(pane: Any) -> int:
    """Steps that the Train pane has been told of."""
    return len(pane.watched.history.steps) if pane.watched else 0


async def job(pilot: Pilot[Any], *keys: str) -> None:
    """Press keys and wait for the job that they begin."""
    await pilot.press(*keys)
    app: Any = pilot.app
    await until(pilot, lambda: not app.pane.is_active)


async def take_all() -> None:
    """From an empty data folder to the last picture."""
    import core

    core.train("quick", name="narrow", d_model=64, seconds=30)  # another one, to compare with
    async with opened() as (app, pilot):
        await pilot.press("r")
        train = app.pane
        await until(pilot, lambda: steps_of(train) > MIDDLE_STEP)
        snap(app, "train")
        await until(pilot, lambda: not train.is_active)
        await job(pilot, "2", "e")
        snap(app, "evaluate")
        await job(pilot, "3", "b")
        snap(app, "benchmark")
        await job(pilot, "4", "g")
        snap(app, "generate")
        await pilot.press("5")
        await pilot.pause(2)
        await pilot.press("space", "j", "space")
        await pilot.pause(2)
        snap(app, "runs")
        os.chdir("/")  # where the export would go, the same on every machine
        await pilot.press("e")
        await pilot.pause(1)
        await pilot.press("g", "down", "right", "right")
        await pilot.pause(1)
        snap(app, "export")


def main() -> None:
    """Take every picture."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["MINITF_HOME"] = home
        asyncio.run(take_all())


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    main()
