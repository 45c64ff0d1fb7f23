"""Small runs for the tests of recipes: trained, driven to an end, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from core import recipes
from core.config import RunConfig
from core.store.find import find_run
from core.store.run import Run
from core.testing import tiny_run_config


@pytest.fixture
def config(text_file: str) -> RunConfig:
    return tiny_run_config(text_file)


def drive(session: Any) -> list[Any]:
    return list(session.run())


def train(config: RunConfig, name: str = "tiny", **changes: Any) -> Run:
    drive(recipes.training(config.with_changes(**changes), name=name))
    return find_run(name).run


def refused(session: Any, kind: type[Exception]) -> tuple[str, str]:
    with pytest.raises(kind) as caught:
        drive(session)
    return str(caught.value), caught.value.hint  # type: ignore[attr-defined]
