"""Names stay what they are, and what must be light stays light."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import core
from core import recipes

LIGHT = [
    "core",
    "core.config",
    "core.presets",
    "core.recipes",
    "core.store.run",
    "core.store.find",
    "core.store.summary",
    "core.store.metrics",
    "core.store.rates",
    "core.training.schedule",
    "core.model.arithmetic",
]
CHILD = """
import importlib, json, sys
heavy = ("torch", "textual", "rich", "plotext", "numpy", "tokenizers", "minitf_tui")
found = {}
for name in sys.argv[1:]:
    importlib.import_module(name)
    found[name] = [m for m in heavy if m in sys.modules]
import core
from core import recipes
core.preset("quick"), core.list_runs(), core.estimate(core.preset("seed"))
from core import recipes
recipes.planned_lr(core.preset("quick"))
found["after use"] = [m for m in heavy if m in sys.modules]
import core.api
found["core.api"] = [m for m in heavy if m in sys.modules]
import core.launch
found["core.launch"] = [m for m in ("textual", "rich", "plotext", "minitf_tui") if m in sys.modules]
print(json.dumps(found))
"""


def test_what_a_form_needs_loads_neither_torch_nor_a_screen() -> None:
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHILD, *LIGHT],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    found = json.loads(child.stdout)
    assert found == {name: [] for name in [*LIGHT, "after use", "core.api", "core.launch"]}


def test_every_public_name_is_the_advertised_object_after_all_is_imported() -> None:
    """A submodule named like a function would take its place."""
    for module in pkgutil.walk_packages(core.__path__, "core."):
        importlib.import_module(module.name)
    for name, home in core._HOMES.items():
        found = getattr(core, name)
        assert found is getattr(importlib.import_module(home), name), name
        assert not inspect.ismodule(found), name
        assert found.__module__ == home, name
    assert set(core.__all__) == set(core._HOMES)
    assert set(core.__all__) <= set(dir(core))


def test_every_module_says_what_it_is_for_and_does_nothing_when_imported(
    capsys: pytest.CaptureFixture[str], minitf_home: Path
) -> None:
    for module in pkgutil.walk_packages(core.__path__, "core."):
        found = importlib.import_module(module.name)
        assert module.ispkg or found.__doc__, module.name
    assert capsys.readouterr() == ("", "")
    assert not minitf_home.exists()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'core' has no attribute 'tain'"):
        core.tain  # noqa: B018


def test_every_recipe_is_public() -> None:
    made = {
        name
        for name, value in vars(recipes).items()
        if inspect.isfunction(value) and value.__module__ == recipes.__name__
    }
    assert {name for name in made if not name.startswith("_")} <= set(recipes.__all__)
