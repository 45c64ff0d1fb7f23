"""A text cut into tokens, shown and counted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from core import recipes
from core.config import TextConfig
from core.errors import RunError
from core.events import SetupProgressed, Tokenization, TokenizationCompleted
from core.presets import preset
from core.store.run import create_run
from core.store.tokens import tokenize_corpus
from core.testing import result_of


def cut(session: recipes.Session) -> Tokenization:
    *_, last = session.run()
    assert isinstance(last, TokenizationCompleted)
    return last.result


def test_a_text_is_counted_and_its_first_tokens_are_shown(text_file: str, tmp_path: Path) -> None:
    config = TextConfig(corpus=text_file, vocab_size=300)
    text = "The river runs, naïvely.\n" * 40
    (tmp_path / "t.txt").write_text(text, encoding="utf-8")
    found = result_of(tokenize_corpus(config))
    assert found is not None
    ids = found.tokenizer.encode(text).tolist()

    result = cut(recipes.tokenizing(config, text=tmp_path / "t.txt", n_shown=9))

    assert (result.tokenizer, result.vocab_size) == ("bpe", found.tokenizer.vocab_size)
    assert (result.of, result.text) == (text_file, str(tmp_path / "t.txt"))
    assert (result.characters, result.bytes) == (len(text), len(text.encode()))
    assert (result.tokens, result.distinct_tokens) == (len(ids), len(set(ids)))
    assert result.bytes_per_token == pytest.approx(len(text.encode()) / len(ids))
    assert [token.id for token in result.shown] == ids[:9]
    assert "".join(token.text for token in result.shown) == found.tokenizer.decode(ids[:9])
    assert len(cut(recipes.tokenizing(config, text=tmp_path / "t.txt", n_shown=0)).shown) == len(
        ids
    )


def test_a_prompt_may_be_any_bytes(text_file: str) -> None:
    config = TextConfig(corpus=text_file, tokenizer="byte")
    result = cut(recipes.tokenizing(config, prompt="é\udcff"))
    assert [token.text for token in result.shown] == ["\\xc3", "\\xa9", "\\xff"]
    assert (result.text, result.tokens, result.bytes) == ("prompt", 3, 3)


def test_a_run_has_its_own_tokenizer_and_text(text_file: str) -> None:
    config = TextConfig(corpus=text_file, tokenizer="char")
    found = result_of(tokenize_corpus(config))
    assert found is not None
    run_config = preset("seed").with_changes(corpus=text_file, tokenizer="char")
    create_run(
        "tiny", run_config, {"corpus_sha256": found.corpus_sha256}, found.tokenizer.to_json()
    )
    result = cut(recipes.tokenizing("tiny"))
    text = Path(text_file).read_text(encoding="utf-8")
    assert (result.of, result.text) == ("run tiny", text_file)
    assert result.tokens == result.characters == len(text)
    assert result.distinct_tokens == result.vocab_size == len(set(text))
    with pytest.raises(RunError, match=re.escape("There is no run 'tinny'.")):
        cut(recipes.tokenizing("tinny"))


def test_it_can_be_stopped(text_file: str) -> None:
    session = recipes.tokenizing(TextConfig(corpus=text_file, vocab_size=300))
    events = []
    for event in session.run():
        events.append(event)
        session.stop()
    assert [type(event) for event in events] == [SetupProgressed]


def test_it_needs_no_torch(text_file: str) -> None:
    code = (
        "import sys; from core import recipes; from core.config import TextConfig;"
        f"list(recipes.tokenizing(TextConfig(corpus={text_file!r}), prompt='a').run());"
        "sys.exit('torch' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
