"""What can be typed, what it means, and what is said when it means nothing."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import BenchConfig, RunConfig, SamplingConfig
from core.errors import MinitfError
from core.fields import flag_fields
from minitf_tui.cli import bench, evaluate, generate, plot, train
from minitf_tui.cli.arguments import Arguments, Command, Flag, UsageError, convert, parse

COMMAND = Command(
    "try",
    "For tests.",
    flags=(
        Flag("steps", int, "a number", default=100),
        Flag("rate", float, "a number"),
        Flag("word", str, "a text"),
        Flag("kind", str, "a choice", choices=("loss", "latency")),
        Flag("cache", bool, "a setting", default=True),
        Flag("json", bool, "a switch"),
        Flag("no-start", bool, "a switch that is called no"),
        Flag("out", Path, "a file"),
        Flag("end", tuple, "texts", default=()),
    ),
)


@pytest.mark.parametrize(
    ("config", "command"),
    [
        (RunConfig(), train.COMMAND),
        (SamplingConfig(), generate.COMMAND),
        (BenchConfig(), bench.COMMAND),
    ],
)
def test_every_setting_is_a_flag_with_its_own_help(config, command):
    flags = {flag.key: flag for flag in command.flags}
    for _, about in flag_fields(config):
        flag = flags[about.name]
        assert flag.help == about.metadata["help"]
        assert flag.unit == about.metadata["unit"]
        assert flag.choices == about.metadata["choices"]
        assert flag.kind is type(about.default)


def test_the_names_that_scripts_rely_on():
    def has(command, names):
        spellings = {s for flag in command.flags for s in flag.spellings}
        assert set(names.split()) <= spellings

    has(train.COMMAND, "--preset --corpus --tokenizer --steps --seconds --seed --name --resume")
    has(train.COMMAND, "--checkpoint-interval --config --json --device --dtype --threads")
    has(generate.COMMAND, "--prompt --temperature --top-k --top-p --min-p --seed --no-cache")
    has(generate.COMMAND, "--max-new-tokens --device --dtype --threads --json")
    has(generate.COMMAND, "--count --stop --repetition-penalty --presence-penalty --interactive")
    has(generate.COMMAND, "--frequency-penalty --penalty-window --cache --window --sinks --engine")
    has(bench.COMMAND, "--n --reps --warmup --device --dtype --threads --json")
    has(evaluate.COMMAND, "--text --stride --device --dtype --threads --json")
    has(plot.COMMAND, "--kind --out")


def test_no_two_flags_of_a_command_share_a_spelling():
    for command in (train.COMMAND, generate.COMMAND, bench.COMMAND, evaluate.COMMAND):
        spellings = [s for flag in command.flags for s in flag.spellings]
        assert len(spellings) == len(set(spellings))


def test_values_follow_a_flag_or_an_equals_sign():
    arguments = parse(COMMAND, ["last", "--steps", "5", "--rate=1e-3", "--word=a=b", "--json"])
    assert arguments.operands == ("last",)
    assert arguments.values == {"steps": 5, "rate": 1e-3, "word": "a=b", "json": True}


@pytest.mark.parametrize(
    ("text", "number"), [("5e6", 5_000_000), ("1.5e3", 1500), ("5_000", 5000), ("-2e1", -20)]
)
def test_large_whole_numbers_may_be_written_short(text, number):
    assert parse(COMMAND, ["--steps", text]).values == {"steps": number}


def test_a_list_takes_one_text_each_time_with_its_escapes():
    arguments = parse(COMMAND, ["--end", r"\n\n", "--steps", "5", r"--end=a\tb", "--end", "\\\\"])
    assert arguments.values == {"end": ("\n\n", "a\tb", "\\"), "steps": 5}


def test_what_is_not_typed_is_not_there():
    arguments = parse(COMMAND, [])
    assert arguments.values == {}
    assert arguments.run == "last"


def test_a_setting_can_be_turned_off_and_the_last_word_wins():
    assert parse(COMMAND, ["--no-cache"]).values == {"cache": False}
    assert parse(COMMAND, ["--no-cache", "--cache"]).values == {"cache": True}
    assert parse(COMMAND, ["--no-start"]).values == {"no_start": True}


def test_a_text_may_begin_with_a_dash():
    assert parse(COMMAND, ["--word", "- item"]).values == {"word": "- item"}
    assert parse(COMMAND, ["--word", "--unknown"]).values == {"word": "--unknown"}
    assert parse(COMMAND, ["--rate", "-1.5"]).values == {"rate": -1.5}


def test_two_dashes_end_the_flags():
    assert parse(COMMAND, ["--", "--steps"]).operands == ("--steps",)


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--steps"], "--steps needs a value.", "As in --steps 100."),
        (["--steps", "--json"], "--steps needs a value.", "As in --steps 100."),
        (["--word", "--"], "--word needs a value.", "As in --word TEXT."),
        (["--kind"], "--kind needs a value.", "As in --kind loss."),
        (["--steps", "ten"], "--steps='ten' is not a whole number.", "As in --steps 100."),
        (["--steps", "1e400"], "--steps='1e400' is not a whole number.", ""),
        (["--steps=1.5"], "--steps='1.5' is not a whole number.", "As in --steps 100."),
        (["--steps", "9" * 30], f"--steps='{'9' * 30}' is too large a number.", "As in --steps"),
        (["--rate", "fast"], "--rate='fast' is not a number.", ""),
        (["--kind", "los"], "--kind='los' is not one of loss, latency.", "Did you mean loss?"),
        (["--out="], "--out='' is not the name of a file.", ""),
        (["--word", "\udcff"], "--word='\\udcff' is not valid UTF-8.", ""),
        (["--end", "\\ud800"], "--end='\\\\ud800' is not valid UTF-8.", ""),
        (["--end"], "--end needs a value.", "As in --end TEXT."),
        (["--out", "\udcff"], "--out='\\udcff' is not valid UTF-8.", ""),
        (["--stepz", "5"], "minitf try has no flag '--stepz'.", "Did you mean --steps?"),
        (["--xyzzy"], "minitf try has no flag '--xyzzy'.", "minitf try --help lists the flags."),
        (["-n", "5"], "minitf try has no flag '-n'.", ""),
        (["--json=yes"], "--json is a switch and takes no value.", ""),
        (["--no-json"], "minitf try has no flag '--no-json'.", "Did you mean --json?"),
        (["a", "b"], "There is a word too many: 'b'.", "The form is minitf try [RUN]."),
        ([""], "'' is not the name of a run.", ""),
    ],
)
def test_mistakes(words, message, hint):
    with pytest.raises(UsageError) as caught:
        parse(COMMAND, words)
    assert str(caught.value) == message
    assert caught.value.hint.startswith(hint)


def test_a_needed_word_is_asked_for():
    with pytest.raises(UsageError, match=r"minitf move needs a RUN\."):
        parse(Command("move", "", operands=("RUN",)), [])


@given(st.lists(st.text(max_size=12), max_size=6))
def test_whatever_is_typed_either_parses_or_is_refused_in_words(words):
    with contextlib.suppress(MinitfError):
        assert isinstance(parse(COMMAND, words), Arguments)


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_whole_numbers_keep_their_value(number):
    assert convert(COMMAND.flag("steps"), str(number)) == number
