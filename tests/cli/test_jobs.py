"""`minitf eval`, `generate` and `bench`: what they ask of core and what they print."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from pathlib import Path

import pytest

from core.config import BenchConfig, CacheConfig, SamplingConfig
from core.events import (
    EvaluationProgressed,
    GenerationFinished,
    SetupProgressed,
)

MACHINE = ["--device", "cpu", "--dtype", "float32", "--threads", "1"]
MACHINE_VALUES = {"device": "cpu", "dtype": "float32", "threads": 1}


def test_eval_scores_the_last_run_by_default(minitf, recipes, make):
    recipes.play(make.evaluated())
    assert minitf("eval").code == 0
    assert recipes.call == ("evaluation", ("last",), {})


def test_eval_hands_over_what_was_typed(minitf, recipes, make):
    recipes.play(make.evaluated("poem.txt"))
    assert minitf("eval", "tiny@5", "--text", "poem.txt", "--stride", "4", *MACHINE).code == 0
    given = {"text": Path("poem.txt"), "stride": 4, **MACHINE_VALUES}
    assert recipes.call == ("evaluation", ("tiny@5",), given)


def test_eval_reads_through_a_cache_and_tells_its_cost(minitf, recipes, make):
    cost = {"cache": "window 64", "cache_cost": 0.01234, "cache_cost_ci95": (0.01, 0.0146)}
    recipes.play(make.evaluated(**cost))
    out = minitf("eval", "--cache", "window", "--window", "64").out
    given = {"cache": CacheConfig(cache="window", window=64)}
    assert recipes.call == ("evaluation", ("last",), given)
    assert "  cache          window 64: +0.01234 ± 0.00230 nats per token against none\n" in out


def test_eval_json(minitf, recipes, make):
    recipes.play(EvaluationProgressed(tokens=5, of=10, loss=2.0), make.evaluated())
    outcome = minitf("eval", "--json")
    assert outcome.err == ""
    result = json.loads(outcome.out)
    shape = (
        *("loss", "loss_ci95", "perplexity", "bits_per_byte", "top1", "top5"),
        *(
            "tokens",
            "bytes",
            "stride",
            "context",
            "floor_loss",
            "baselines",
            "accuracy",
            "problems",
        ),
        *("cache", "cache_cost", "cache_cost_ci95"),
    )
    assert tuple(result) == shape
    assert result["loss_ci95"] == [2.4, 2.6]


def test_eval_report_has_the_floor_where_it_is_known(minitf, recipes, make):
    recipes.play(make.evaluated())
    assert "floor" not in minitf("eval").out
    recipes.play(make.evaluated(floor_loss=2.25))
    assert "  floor          2.250 nats per token: loss +0.250\n" in minitf("eval").out


def test_eval_report_has_the_protocol_beside_the_number(minitf, recipes, make):
    recipes.play(make.evaluated("poem\x1b.txt"))
    out = minitf("eval").out
    for words in (
        "tiny at step 100, poem\\x1b.txt",
        "loss           2.500 nats per token",
        "95 % interval  2.400 to 2.600",
        "first choice   45.6 %",
        "45,999 tokens, 46,000 bytes",
        "stride 16, context 16",
    ):
        assert words in out


def test_eval_shows_progress_on_a_terminal(minitf, recipes, make, terminal):
    screen = terminal("stderr")
    recipes.play(EvaluationProgressed(tokens=500, of=1000, loss=2.0), make.evaluated())
    minitf("eval")
    assert "██████░░░░░░  500 of 1.0 k tokens  loss 2.000" in screen.getvalue()


def test_generate_hands_over_the_sampling(minitf, recipes, make):
    recipes.play(*make.generated("a"))
    words = ["--prompt", "Once", "--temperature", "0", "--top-k", "5", "--no-cache"]
    assert minitf("generate", "best", *words, *MACHINE).code == 0
    sampling = SamplingConfig(prompt="Once", temperature=0.0, top_k=5, cache="none")
    assert recipes.call == ("generation", ("best", sampling), MACHINE_VALUES)


def test_two_caches_cannot_be_wished_for(minitf):
    outcome = minitf("generate", "--cache", "int8", "--no-cache")
    assert outcome.code == 2
    assert outcome.err == (
        "minitf: --no-cache and --cache int8 do not go together.\nLeave one of them out.\n"
    )


def test_the_text_goes_to_stdout_and_its_speed_to_stderr(minitf, recipes, make):
    recipes.play(SetupProgressed(stage="loading"), *make.generated(" upon", "", " a time"))
    outcome = minitf("generate")
    assert outcome.out == "Once upon a time\n"
    assert outcome.err == (
        "3 tokens after 4 of prompt: first one after 12.3 ms, then 1.2 k tokens/s\n"
    )


def test_a_text_that_ends_its_line_gets_no_second_end(minitf, recipes, make):
    recipes.play(*make.generated(" upon\n"))
    assert minitf("generate").out == "Once upon\n"


def test_text_is_made_safe_for_a_terminal_and_left_alone_in_a_pipe(minitf, recipes, make, terminal):
    recipes.play(*make.generated("\x1b[31m", "é"))
    assert minitf("generate").out == "Once\x1b[31mé\n"
    screen = terminal("stdout")
    recipes.play(*make.generated("\x1b[31m", "é"))
    minitf("generate")
    assert "\x1b" not in screen.getvalue()
    assert "é" in screen.getvalue()


def test_generate_json(minitf, recipes, make):
    recipes.play(*make.generated("\x1b", "é"))
    outcome = minitf("generate", "--json")
    assert outcome.err == ""
    result = json.loads(outcome.out)
    shape = ["text", "prompt_tokens", "tokens", "ttft_ms", "tokens_per_s", "stop", "stop_string"]
    assert list(result) == shape
    assert result["text"] == "\x1bé"
    assert list(result["tokens"][0]) == ["id", "text", "logprob", "top"]
    assert result["tokens"][0]["top"] == [{"id": 7, "text": "x", "logprob": -0.1}]
    assert outcome.out.isascii()


def test_generate_hands_over_penalties_and_stop_strings(minitf, recipes, make):
    recipes.play(*make.generated("a"))
    words = [
        "--stop",
        r"\n\n",
        "--stop",
        "END",
        "--repetition-penalty",
        "1.2",
        "--penalty-window=64",
    ]
    assert minitf("generate", *words).code == 0
    sampling = SamplingConfig(stop=("\n\n", "END"), repetition_penalty=1.2, penalty_window=64)
    assert recipes.call == ("generation", ("last", sampling), {})


def test_each_token_is_on_the_screen_before_the_next_is_asked_for(
    minitf, recipes, make, monkeypatch
):
    """Nothing waits in a buffer: what is flushed after each token ends with it."""
    seen = []

    class Watched(io.StringIO):
        def flush(self):
            seen.append(self.getvalue())

    watched = Watched()
    monkeypatch.setattr(sys, "stdout", watched)
    read, *written, end = make.generated(" upon", " a", " time")
    script = [read]
    for event, so_far in zip(written, ["", " upon", " upon a"], strict=True):
        script += [lambda so_far=so_far: seen.append(("asked", so_far)), event]
    recipes.play(*script, end)
    minitf("generate")
    for i, item in enumerate(seen):
        if isinstance(item, tuple):
            assert seen[i - 1] == "Once" + item[1]
    assert seen[-1] == "Once upon a time\n"


def test_what_was_held_back_is_written_at_the_end(minitf, recipes, make):
    read, *written, end = make.generated("a", "", "")
    result = dataclasses.replace(end.result, text="a EN")
    recipes.play(read, *written, GenerationFinished(result=result))
    assert minitf("generate").out == "Oncea EN\n"


def test_the_report_names_the_stop_string(minitf, recipes, make):
    *events, end = make.generated("a", stop="stop string")
    recipes.play(
        *events, GenerationFinished(result=dataclasses.replace(end.result, stop_string="\n"))
    )
    assert minitf("generate", "--stop", r"\n").err.endswith("tokens/s; ended by '\\n'\n")


def test_several_continuations_come_one_after_another(minitf, recipes, make):
    recipes.play(*make.generated_batch((" upon", " a time"), (" more",), ("\n",)))
    outcome = minitf("generate", "--count", "3", "--seed", "5")
    assert outcome.out == (
        "[1 of 3, seed 5]\nOnce upon a time\n"
        "\n[2 of 3, seed 6]\nOnce more\n"
        "\n[3 of 3, seed 7]\nOnce\n"
    )
    assert outcome.err == (
        "4 tokens in 3 continuations after 4 of prompt: first one after 12.3 ms,"
        " then 5.7 k tokens/s together\n"
    )
    assert recipes.call == ("generation", ("last", SamplingConfig(count=3, seed=5)), {})


def test_several_continuations_as_json(minitf, recipes, make):
    recipes.play(*make.generated_batch(("a",), ("b", "c")))
    result = json.loads(minitf("generate", "--count", "2", "--json").out)
    assert list(result) == ["continuations", "prompt_tokens", "ttft_ms", "tokens_per_s"]
    assert [one["text"] for one in result["continuations"]] == ["a", "bc"]


def test_bench_hands_over_how_to_measure(minitf, recipes, make):
    recipes.play(make.benchmarked())
    assert minitf("bench", "tiny", "--n", "64", "--reps", "5", "--warmup", "2", *MACHINE).code == 0
    bench = BenchConfig(n=64, reps=5, warmup=2, dtype=("float32",), threads=(1,))
    assert recipes.call == ("benchmarking", ("tiny", bench), {"device": "cpu"})


def test_bench_takes_lists_with_commas(minitf, recipes, make):
    recipes.play(make.benchmarked())
    words = "--caches none,static --bits 0,8 --threads=1,2 --depths 64 --depths 8 --engines torch"
    assert minitf("bench", *words.split()).code == 0
    assert recipes.call[1][1] == BenchConfig(
        caches=("none", "static"), bits=(0, 8), threads=(1, 2), depths=(64, 8), engines=("torch",)
    )


def test_bench_json(minitf, recipes, make):
    recipes.play(make.benchmarked())
    result = json.loads(minitf("bench", "--json").out)
    assert list(result) == ["cells", "ratios", "limits", "speedup", "skipped", "environment"]
    assert {"variant", "phase", "depth", "tokens", "mean_ms", "sd_ms", "median_ms", "min_ms"} | {
        "samples_ms",
        "tokens_per_s",
    } <= set(result["cells"][0])
    assert result["cells"][0]["samples_ms"] == [2.0, 2.0, 2.0]
    assert {"identical_tokens", "of", "near_ties", "max_logit_diff"} <= set(
        result["cells"][2]["proof"]
    )


@pytest.mark.parametrize("command", ["eval", "generate", "bench"])
def test_every_job_takes_every_way_to_name_a_run(minitf, recipes, command):
    for run in ("name", "./a/path", "best", "last@5"):
        recipes.calls.clear()
        assert minitf(command, run).code == 0
        assert recipes.call[1][0] == run
