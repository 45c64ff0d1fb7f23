"""`minitf presets`: the list, and a file that `--config` takes."""

from __future__ import annotations

import dataclasses
import json

import pytest

from core import recipes
from core.config import RunConfig, read_toml
from core.presets import ABOUT, PRESETS, preset
from minitf_tui import format as fmt
from minitf_tui.cli import train
from minitf_tui.cli.arguments import parse
from minitf_tui.cli.presets import budget


@pytest.mark.parametrize("words", [[], ["list"]])
def test_the_list_says_what_each_is_for_and_what_it_takes(minitf, words):
    outcome = minitf("presets", *words)
    assert (outcome.code, outcome.err) == (0, "")
    for name, config in PRESETS.items():
        cost = recipes.estimate(config)
        assert ABOUT[name] in outcome.out
        row = next(line for line in outcome.out.splitlines() if line.split()[:1] == [name])
        for shown in (fmt.count(cost.n_params), fmt.size_bytes(cost.training_bytes)):
            assert shown in row
    assert max(map(len, outcome.out.splitlines())) <= 80


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("base", ["seed", "llama-125m"])
def test_what_is_shown_is_a_config_file_on_top_of_any_preset(minitf, tmp_path, name, base):
    outcome = minitf("presets", "show", name)
    assert (outcome.code, outcome.err) == (0, "")
    (tmp_path / "mine.toml").write_text(outcome.out)
    typed = parse(train.COMMAND, ["--preset", base, "--config", "mine.toml"])
    assert train.config_of(typed) == preset(name)
    assert read_toml(outcome.out) == preset(name)


def test_json_has_the_same_figures_and_the_config(minitf):
    listed = json.loads(minitf("presets", "--json").out)["presets"]
    assert [about["name"] for about in listed] == list(PRESETS)
    shown = json.loads(minitf("presets", "show", "seed", "--json").out)
    cost = dataclasses.asdict(recipes.estimate(preset("seed")))
    assert cost.items() <= shown.items()
    assert RunConfig.from_dict(shown["config"]) == preset("seed")
    assert (shown["steps"], shown["seconds"], shown["about"]) == (100, 0.0, ABOUT["seed"])
    assert (shown["epochs"], shown["tokens"]) == (0.0, 0)


def test_every_limit_of_a_budget_is_named():
    config = preset("quick").with_changes(steps=1, seconds=90.0, epochs=2.5, tokens=10_000)
    assert budget(config) == "1 step or 1 min 30 s or 2.5 epochs or 10.0 k tokens"
    assert budget(preset("seed")) == "100 steps"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["shw"], "minitf presets cannot 'shw'.\nDid you mean show?"),
        (["burn"], "minitf presets cannot 'burn'.\nThere are list and show."),
        (["show"], f"minitf presets show needs a PRESET.\nThere are {', '.join(PRESETS)}."),
        (["show", "sed"], "There is no preset 'sed'.\nDid you mean seed?"),
        (
            ["list", "x"],
            "minitf presets list takes no preset: 'x'.\nTry minitf presets show PRESET.",
        ),
    ],
)
def test_mistakes(refused, words, message):
    assert refused("presets", *words).startswith(f"minitf: {message}")
