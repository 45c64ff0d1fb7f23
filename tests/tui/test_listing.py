"""Rows in aligned columns: what fits, what goes first, and what is highlighted."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult
from textual.content import Content

from minitf_tui.widgets.listing import Cell, Column, Gauge, Listing, Sheet, Span, drawn, gauge, span

COLUMNS = (
    Column("name", is_left=True),
    Column("", is_gauge=True, rank=1),
    Column("time"),
    Column("note", rank=2),
)
ROWS = tuple(
    (Cell(name), Gauge(share), Cell(f"{share:.2f}"), Cell("a longer note"))
    for name, share in (("one", 1.0), ("another", 0.5), ("[/foo]", 0.0))
)
SHEET = Sheet(COLUMNS, ROWS, (Content("below"),))


def lines(width: int, here: int | None = None) -> list[str]:
    return [line.plain for line in drawn(SHEET, width, here)]


def test_columns_are_aligned_and_the_gauge_takes_what_is_left() -> None:
    head, one, another, odd = lines(60)
    assert {len(one), len(another), len(odd)} == {60}
    assert head.index("time") + 4 == one.index("1.00") + 4
    assert one.count("█") == 2 * another.count("█")
    assert odd.startswith("[/foo]")


@pytest.mark.parametrize(
    ("width", "note", "bar"), [(60, True, True), (32, False, True), (15, False, False)]
)
def test_the_least_important_column_goes_first(width: int, note: bool, bar: bool) -> None:
    text = "\n".join(lines(width))
    assert ("note" in text) == note
    assert ("█" in text) == bar
    assert "1.00" in text


def test_a_long_word_is_cut_and_an_empty_sheet_has_nothing() -> None:
    _, cut = drawn(Sheet((Column("n"),), ((Cell("x" * 9),),)), 20)
    assert cut.plain.strip() == "x" * 9
    assert [line.plain for line in drawn(Sheet(), 10)] == [""]


@pytest.mark.parametrize(
    ("bar", "text"),
    [
        (Gauge(1.0), "████████"),
        (Gauge(0.5, 0.75), "████▒▒  "),
        (Gauge(0.0), "        "),
        (Gauge(3.0, 9.0), "████████"),
        (Gauge(-1.0), "        "),
        (Gauge(0.3125), "██▌     "),
    ],
)
def test_gauges(bar: Gauge, text: str) -> None:
    assert "".join(part for part, _ in gauge(bar, 8)) == text


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Span(0.5, 0.75, 0.0), "│   ███  "),
        (Span(0.0, 0.0, 1.0), "█       │"),
        (Span(-2.0, 5.0, 0.5), "█████████"),
    ],
)
def test_spans(interval: Span, text: str) -> None:
    assert "".join(part for part, _ in span(interval, 9)) == text


class OneListing(App[None]):
    clicked: int | None = None

    def compose(self) -> ComposeResult:
        yield Listing()

    def on_listing_clicked(self, event: Listing.Clicked) -> None:
        self.clicked = event.place


async def test_a_long_list_scrolls_with_its_highlight_and_a_row_can_be_clicked() -> None:
    rows = tuple((Cell(f"row {n}"),) for n in range(40))
    app = OneListing()
    async with app.run_test(size=(30, 8)) as pilot:
        listing = app.query_one(Listing)
        listing.styles.height = 8
        listing.show(Sheet((Column("name", is_left=True),), rows), 0)
        await pilot.pause()
        assert "row 0" in listing.render().plain
        listing.show(listing.sheet, 39)
        text = listing.render().plain
        assert "row 39" in text
        assert "row 0" not in text
        assert text.splitlines()[0].startswith("name")
        listing.show(listing.sheet, 33)
        assert "row 39" in listing.render().plain
        await pilot.click(Listing, offset=(2, 1))
        await pilot.pause()
        assert app.clicked == 33
