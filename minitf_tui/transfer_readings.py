"""From what an export or an import has told to what is read in its box. Pure.

Names and remarks come from files of others: nothing of them is parsed as markup, and nothing
acts on the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable

from textual.content import Content

from core.events import Export, Import
from minitf_tui import format as fmt
from minitf_tui.sanitize import clean_line
from minitf_tui.uses import PROGRAMS, uses_of

LABEL_WIDTH = 10


def export_lines(result: Export) -> Content:
    """What was written, its place, and how to use it."""
    facts = [("for", PROGRAMS.get(result.format, result.format))]
    if result.architecture:
        facts.append(("as", result.architecture))
    if result.format != "capsule":
        facts.append(("numbers", result.number_type))
    facts.append(("size", fmt.size_bytes(result.bytes)))
    uses = [
        Content("\n").join([_heading(use.title), *map(Content, use.lines)])
        for use in uses_of(result, is_near=False)
    ]
    return _blocks([_facts(facts), _path(result.path), *_remarks(result.remarks), *uses])


def import_lines(result: Import) -> Content:
    """What has come, and where it is."""
    facts = [
        ("run", result.run),
        ("from", ", ".join(part for part in (result.format, result.architecture) if part)),
        (
            "model",
            f"{fmt.count(result.n_params)} parameters, context {fmt.whole(result.context)},"
            f" {fmt.whole(result.vocab_size)} tokens",
        ),
        ("size", fmt.size_bytes(result.bytes)),
    ]
    return _blocks([_facts(facts), _path(result.path), *_remarks(result.remarks)])


def _blocks(blocks: Iterable[Content]) -> Content:
    return Content("\n\n").join(blocks)


def _facts(facts: Iterable[tuple[str, str]]) -> Content:
    return Content("\n").join(
        Content.assemble((f"{label:<{LABEL_WIDTH}}", "$quiet"), clean_line(value))
        for label, value in facts
    )


def _path(path: str) -> Content:
    return Content.assemble((clean_line(path), "bold $accent"))


def _remarks(remarks: Iterable[str]) -> list[Content]:
    lines = [Content(clean_line(remark)) for remark in remarks]
    return [Content("\n").join([_heading("note"), *lines])] if lines else []


def _heading(words: str) -> Content:
    return Content.assemble((words[:1].lower() + words[1:], "$secondary"))
