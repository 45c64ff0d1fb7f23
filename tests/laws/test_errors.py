"""Every sentence that an error can say, and every hint, is one that a test has read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ERRORS = {
    "MinitfError",
    "ConfigError",
    "DataError",
    "FileError",
    "TokenizerError",
    "RunError",
    "CheckpointError",
    "DeviceError",
    "ExportError",
    "FormatError",
    "StoreError",
    "RivalError",
    "UsageError",
    "DeviceBusyError",
}
LEAST = 6
"""Shorter pieces between two values say nothing of their own."""


def pieces(node: ast.AST) -> Iterator[str]:
    """The fixed parts of the texts in an expression."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def spoken() -> list[tuple[str, str]]:
    """(place, the longest fixed piece) of each message and hint in the program."""
    found = []
    for package in ("core", "minitf_tui"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                    name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                    if name in ERRORS:
                        texts = [*node.args[:1], *(k.value for k in node.keywords)]
                        place = f"{path.relative_to(ROOT)}:{node.lineno}"
                        found += [(place, max(pieces(t), key=len, default="")) for t in texts]
    return [(place, text) for place, text in found if len(text.strip()) >= LEAST]


@pytest.fixture(scope="module")
def asserted() -> str:
    """All that the tests' strings say, without the backslashes of patterns."""
    texts = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if path != Path(__file__):
            texts += pieces(ast.parse(path.read_text(encoding="utf-8")))
    return "\n".join(texts).replace("\\", "")


def test_there_are_errors_to_look_for() -> None:
    assert len(spoken()) > 100


def test_every_error_text_is_asserted_by_a_test(asserted: str) -> None:
    unread = [f"{place}: {text!r}" for place, text in spoken() if text.strip(" .") not in asserted]
    assert unread == []
