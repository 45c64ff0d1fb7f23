"""What comes from elsewhere and is damaged or unknown: refused, and nothing is left."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from core import recipes
from core.errors import ConfigError, FormatError, MinitfError
from core.interop.foreign import ForeignModel
from core.testing import byte_tokenizer
from tests.core.arriving_models import CONFIG, VOCAB, foreign, nothing_left
from tests.core.arriving_models import arriving as arriving


def with_tensor(name: str, read: Callable[[], torch.Tensor] | None) -> ForeignModel:
    """A foreign model with one tensor replaced, added or, for None, left out."""
    whole = foreign()
    tensors = {**whole.tensors, name: read}
    return replace(whole, tensors={k: v for k, v in tensors.items() if v is not None})


HEAD = "head.weight"
LAST = "blocks.1.attention.q_proj.weight"
DAMAGED = "The file is damaged, or its configuration is of another model."
UNFINISHED = "Its training diverged, or the file is damaged."
INCOMPLETE = "Fetch the file again, with all of its parts."


def filled(value: float) -> Callable[[], torch.Tensor]:
    tensor = torch.zeros(VOCAB, 32)
    tensor[7, 3] = value
    return lambda: tensor


@pytest.mark.parametrize(
    ("model", "message", "hint"),
    [
        (with_tensor(HEAD, None), "some/model lacks a tensor: head.weight.", INCOMPLETE),
        (with_tensor(LAST, None), f"some/model lacks a tensor: {LAST}.", INCOMPLETE),
        (
            with_tensor("rotary.x", lambda: torch.zeros(1)),
            "some/model holds a tensor that minitf does not know: rotary.x.",
            "Its architecture has parts that minitf lacks.",
        ),
        (
            with_tensor(HEAD, lambda: torch.zeros(VOCAB, 31)),
            "some/model: head.weight has the shape (259, 31), not (259, 32).",
            DAMAGED,
        ),
        (
            with_tensor(HEAD, lambda: torch.zeros(VOCAB, 32, dtype=torch.int8)),
            "some/model: head.weight holds whole numbers.",
            "Import the model as it was before quantisation.",
        ),
        *(
            (
                with_tensor(HEAD, filled(value)),
                "some/model: head.weight holds a number that is not finite.",
                UNFINISHED,
            )
            for value in (math.nan, math.inf, -math.inf)
        ),
        (
            with_tensor(HEAD, lambda: torch.full((VOCAB, 32), 1e300, dtype=torch.float64)),
            "some/model: head.weight holds a number that is not finite.",
            UNFINISHED,
        ),
        (
            foreign(end_ids=(2, 259)),
            "some/model: its text ends with token 259, and it has 259.",
            "Its configuration is damaged, or of another model.",
        ),
        (
            replace(foreign(), config=replace(CONFIG, n_layers=10**9)),
            "some/model lacks a tensor: blocks.999999999.attention.q_proj.weight.",
            INCOMPLETE,
        ),
        (
            replace(foreign(), config=replace(CONFIG, d_ff=10**30)),
            "some/model: no model can have the shape that it tells.",
            DAMAGED,
        ),
    ],
)
def test_what_is_damaged_is_refused_and_leaves_nothing(
    arriving: Any, model: ForeignModel, message: str, hint: str
) -> None:
    with pytest.raises(FormatError) as caught:
        arriving(model)
    assert (str(caught.value), caught.value.hint) == (message, hint)
    assert nothing_left()


def test_a_tokenizer_that_does_not_fit_is_refused(arriving: Any) -> None:
    small = replace(CONFIG, vocab_size=200)
    with pytest.raises(MinitfError):
        arriving(foreign(small, end_ids=()))
    with pytest.raises(MinitfError):
        arriving(foreign(tokenizer_json="{}"))
    assert nothing_left()


def test_a_tokenizer_of_another_size_than_the_model_is_refused(
    arriving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a loader does: ids that the model lacks would end it."""
    from core.interop import arrival

    monkeypatch.setattr(arrival, "load_tokenizer", lambda *_, **__: byte_tokenizer())
    with pytest.raises(FormatError) as caught:
        arriving()
    assert str(caught.value) == "some/model: its tokenizer has 256 tokens, its model 259."
    assert caught.value.hint == "They are not of one model."
    assert nothing_left()


def test_a_name_that_is_taken_is_refused_before_the_work(arriving: Any) -> None:
    arriving()
    with pytest.raises(MinitfError, match="A run named 'it' exists already"):
        arriving(with_tensor(HEAD, None))


def test_a_corpus_that_is_missing_is_refused(arriving: Any) -> None:
    with pytest.raises(MinitfError):
        arriving(corpus="nowhere.txt")
    assert nothing_left()


def test_a_source_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    def refused(source: Path | str) -> tuple[str, str]:
        with pytest.raises(FormatError) as caught:
            list(recipes.importing(source, name="it").run())
        return str(caught.value), caught.value.hint

    missing, strange = tmp_path / "missing", tmp_path / "a.onnx"
    strange.write_bytes(b"what is this?")
    assert refused(missing) == (
        f"There is no file or folder {str(missing)!r}.",
        "Name a folder of transformers, a .gguf, a .bin of llama2.c, a capsule, or hub:OWNER/NAME.",
    )
    assert refused("hf:foo/bar")[1] == "Did you mean hub:foo/bar?"
    assert refused("https://huggingface.co/foo/bar")[1] == "Did you mean hub:foo/bar?"
    assert refused(strange) == (
        f"{str(strange)!r} is none of the files that minitf reads, or a damaged one.",
        "Those are a folder of transformers, a .gguf, a .bin of llama2.c and a capsule.",
    )
    strange.write_bytes(b"GGUF and what comes then")  # whatever it is called
    assert "is a GGUF of version" in refused(strange)[0]
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.toml").touch()
    assert refused(run) == (
        f"{str(run)!r} is a run already.",
        "Use it by its path, as in: minitf eval PATH",
    )
    assert nothing_left()


def test_what_could_change_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(ConfigError) as caught:
        list(recipes.importing(path, tokenizer="b.bin").run())
    assert str(caught.value) == "tokenizer=b.bin is for a .bin of llama2.c, and this is none."
    assert caught.value.hint == "Leave it out."
