"""`minitf quantize`: what is asked of core, and what is shown."""

from __future__ import annotations

import json
from typing import Any

from core import events as ev
from core.config import QuantizeConfig
from core.events import MatrixQuantized, SetupProgressed


def quantized(**given: Any) -> ev.QuantizationCompleted:
    quality = ev.Quality(
        tokens=20_545,
        context=128,
        loss_before=3.56,
        loss_after=3.561,
        perplexity_before=35.3,
        perplexity_before_ci95=(33.4, 37.2),
        perplexity_after=35.4,
        perplexity_after_ci95=(33.5, 37.3),
        ln_ratio=0.00047,
        ln_ratio_ci95=(-0.0001, 0.00104),
        kld=7.69e-4,
        kld_ci95=(7.53e-4, 7.85e-4),
        kld_percentiles=((50.0, 4.9e-4), (90.0, 1.6e-3), (99.9, 1e-2)),
        kld_max=3.1e-2,
        rms_dp=0.0044,
        rms_dp_ci95=(0.0042, 0.0046),
        same_top1=0.9696,
        same_top1_ci95=(0.9672, 0.972),
    )
    speed = ev.DecodeSpeed(
        before_tokens_per_s=1000.0,
        after_tokens_per_s=2500.0,
        before_engine="torch",
        after_engine="fast",
        tokens=64,
        before_ms=(64.0,),
        after_ms=(25.6,),
    )
    usual: dict[str, Any] = {
        "run": "small",
        "path": "/runs/small",
        "from_run": "tiny",
        "from_step": 100,
        "bits": 4,
        "group_size": 32,
        "symmetric": True,
        "method": "gptq",
        "matrices": 20,
        "head_bits": 8,
        "bytes_before": 3 << 20,
        "bytes_after": 1 << 19,
        "calibration": "training text",
        "calibration_tokens": 32_768,
        "text": "validation split",
        "quality": quality,
        "speed": speed,
    }
    return ev.QuantizationCompleted(result=ev.Quantization(**(usual | given)))


PACKED = MatrixQuantized(name="head.weight", index=20, of=20, bits=8, group_size=0, error=0.01)


def test_the_report(recipes, minitf):
    recipes.play(SetupProgressed(stage="loading the run"), PACKED, quantized())
    outcome = minitf("quantize")
    assert outcome.code == 0
    assert outcome.out == (
        "Quantised tiny at step 100 as small\n"
        "  rounded            20 matrices in 4 bits, groups of 32, by gptq; head 8\n"
        "  weights            3.0 MiB before, 512.0 KiB after: 6.00× smaller\n"
        "  perplexity before  35.3 ± 1.9\n"
        "  perplexity after   35.4 ± 1.9\n"
        "  ln of their ratio  +0.00047 ± 0.00057\n"
        "  mean KLD           7.69e-04 ± 1.6e-05 nats\n"
        "  KLD                median 4.9e-04, 90 % 1.6e-03, 99.9 % 1.0e-02, largest 3.1e-02\n"
        "  RMS Δp             0.44 ± 0.02 %\n"
        "  same first choice  96.96 ± 0.24 %\n"
        "  speed before       1.0 k tokens/s (torch engine)\n"
        "  speed after        2.5 k tokens/s (fast engine): 2.50×\n"
        "  scored             20,545 tokens, validation split; ± to 95 %\n"
        "  kept in            /runs/small\n"
    )
    assert outcome.err == "loading the run ...\nrounding ...\n"
    assert recipes.call == ("quantizing", ("last", QuantizeConfig()), {})


def test_what_was_typed_is_handed_over(recipes, minitf):
    recipes.play(quantized(symmetric=False, group_size=0, remarks=("Narrow.",)))
    words = ["--bits", "4", "--group-size", "64", "--asymmetric", "--keep", "blocks.0.*"]
    more = ["--keep", "head.weight", "--method", "search", "--name", "small"]
    outcome = minitf("quantize", "tiny@5", *words, *more)
    assert "one scale a row, with zeros" in outcome.out
    assert outcome.out.endswith("Note\n  Narrow.\n")
    config = QuantizeConfig(
        bits=4,
        group_size=64,
        asymmetric=True,
        keep=("blocks.0.*", "head.weight"),
        method="search",
    )
    assert recipes.call == ("quantizing", ("tiny@5", config), {"name": "small"})


def test_as_json(recipes, minitf):
    recipes.play(PACKED, quantized())
    found = json.loads(minitf("quantize", "--json").out)
    assert found["quality"]["kld_percentiles"][0] == [50.0, 4.9e-4]
    assert found["speed"]["after_engine"] == "fast"


def test_mistakes_are_told_with_what_was_meant(recipes, minitf):
    outcome = minitf("quantize", "--method", "gpt")
    assert outcome.code == 2
    assert outcome.err == (
        "minitf: --method='gpt' is not one of gptq, search, nearest.\nDid you mean gptq?\n"
    )
    outcome = minitf("quantize", "--bits", "5")
    assert outcome.err == "minitf: bits=5 is not a choice.\nTry 8 or 4.\n"
