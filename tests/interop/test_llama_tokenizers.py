"""The same ids here, in transformers and in llama.cpp, of strings of every plane of Unicode.

One class of characters is counted apart: the 4,382 letters and digits of Unicode 16.0. The
`tokenizers` library knows them as such, llama.cpp 0.3.36 does not, and so cuts words otherwise.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from core.interop.gguf.tokenizer import TokenizerFields, to_fields
from core.text.tokenizer import ByteTokenizer, CharTokenizer, Tokenizer, load_tokenizer, train_bpe
from tests.core.foreign_tokenizers import TEXT, byte_level, pieces, random_strings, sentencepiece

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
gguf = pytest.importorskip("gguf")
llama_cpp = pytest.importorskip("llama_cpp")

UNICODE_16 = re.compile(
    "[\u1c89-\u1c8a\ua7cb-\ua7cd\ua7da-\ua7dc\U000105c0-\U000105f3\U00010d40-\U00010d65"
    "\U00010d6f-\U00010d85\U00010ec2-\U00010ec4\U00011380-\U000113d3\U000116d0-\U000116e3"
    "\U00011bc0-\U00011be0\U00011bf0-\U00011bf9\U00013460-\U000143fa\U00016100-\U00016139"
    "\U00016d40-\U00016d79\U00018cff\U0001ccf0-\U0001ccf9\U0001e5d0-\U0001e5fa]"
)


@llama_cpp.llama_log_callback
def silent(level: int, text: bytes, data: ctypes.c_void_p) -> None:
    """llama.cpp tells much."""


class Llama:
    """llama.cpp's tokenizer, of a file that has no weights."""

    def __init__(self, fields: TokenizerFields, path: Path) -> None:
        llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
        write(fields, path)
        params = llama_cpp.llama_model_default_params()
        params.vocab_only = True
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        assert self._model
        self.vocab = llama_cpp.llama_model_get_vocab(self._model)

    def __del__(self) -> None:
        if self._model:
            llama_cpp.llama_model_free(self._model)

    def encode(self, text: str | bytes, *, add_special: bool = False) -> list[int]:
        """Ids of a text, in which nothing is special."""
        data = text.encode() if isinstance(text, str) else text
        room = len(data) + 8
        ids = (llama_cpp.llama_token * room)()
        n = llama_cpp.llama_tokenize(self.vocab, data, len(data), ids, room, add_special, False)
        assert n >= 0
        return list(ids[:n])

    def piece(self, token: int) -> bytes:
        """What a token stands for."""
        room = ctypes.create_string_buffer(1024)
        n = llama_cpp.llama_token_to_piece(self.vocab, token, room, 1024, 0, False)
        assert n >= 0
        return room.raw[:n]


def write(fields: TokenizerFields, path: Path) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    for add in (
        writer.add_context_length,
        writer.add_embedding_length,
        writer.add_feed_forward_length,
    ):
        add(64)
    writer.add_block_count(1)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model(fields.model)
    writer.add_tokenizer_pre(fields.pre)
    writer.add_token_list(fields.tokens)
    writer.add_token_types(fields.token_types)
    optional: list[tuple[Any, Any]] = [
        (writer.add_token_scores, fields.scores),
        (writer.add_token_merges, fields.merges),
        (writer.add_bos_token_id, fields.bos_id),
        (writer.add_eos_token_id, fields.eos_id),
        (writer.add_add_space_prefix, fields.add_space_prefix),
    ]
    for add, value in optional:
        if value is not None:
            add(value)
    writer.add_add_bos_token(fields.add_bos)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


ASCII = CharTokenizer(map(chr, range(128)))
OURS: dict[str, Tokenizer] = {
    "bpe": train_bpe([TEXT, *random_strings(1500, 11)], 1500),
    "byte": ByteTokenizer(),
    "char": ASCII,
}
MANY = [pytest.param(500), pytest.param(10_000, marks=pytest.mark.slow)]


def strings(tokenizer: Tokenizer, n: int) -> list[str]:
    """What the tokenizer has tokens for."""
    found = random_strings(n, 12)
    if tokenizer.kind != "char":
        return found
    return [re.sub("[^\x00-\x7f]", lambda m: chr(ord(m[0]) % 128), text) for text in found]


def differing(tokenizer: Tokenizer, other: Any, texts: list[str]) -> list[str]:
    return [text for text in texts if other(text) != tokenizer.encode(text).tolist()]


@pytest.mark.parametrize("n", MANY)
@pytest.mark.parametrize("name", OURS)
def test_llama_cpp_gives_our_ids(name: str, n: int, tmp_path: Path) -> None:
    tokenizer = OURS[name]
    llama = Llama(to_fields(tokenizer, tokenizer.vocab_size), tmp_path / "vocab.gguf")
    different = differing(tokenizer, llama.encode, strings(tokenizer, n))
    assert [text for text in different if not UNICODE_16.search(text)] == []
    assert len(different) <= n // 100
    if name != "bpe":
        assert different == []


@pytest.mark.parametrize("n", MANY)
@pytest.mark.parametrize("name", OURS)
@pytest.mark.filterwarnings("ignore")
def test_auto_tokenizer_gives_our_ids(name: str, n: int, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = OURS[name]
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json(), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}), encoding="utf-8"
    )
    auto = AutoTokenizer.from_pretrained(tmp_path)
    texts = strings(tokenizer, n)
    assert differing(tokenizer, lambda text: auto(text)["input_ids"], texts) == []


@pytest.mark.parametrize("name", OURS)
def test_llama_cpp_gives_our_bytes_back(name: str, tmp_path: Path) -> None:
    tokenizer = OURS[name]
    llama = Llama(to_fields(tokenizer, tokenizer.vocab_size + 2), tmp_path / "vocab.gguf")
    for token in range(tokenizer.vocab_size):
        assert llama.piece(token) == tokenizer.decode_bytes([token])


def test_nothing_but_a_byte_that_is_never_written_ends_a_text(tmp_path: Path) -> None:
    for name, ends in (("bpe", [255]), ("byte", []), ("char", [])):
        tokenizer = OURS[name]
        llama = Llama(to_fields(tokenizer, tokenizer.vocab_size), tmp_path / f"{name}.gguf")
        found = [
            token
            for token in range(tokenizer.vocab_size)
            if llama_cpp.llama_vocab_is_eog(llama.vocab, token)
        ]
        assert found == ends


@pytest.mark.parametrize("has_prefix_space", [True, False])
def test_llama_cpp_joins_pieces_by_score_as_we_do(has_prefix_space: bool, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(sentencepiece(has_prefix_space=has_prefix_space))
    llama = Llama(to_fields(tokenizer, 600), tmp_path / "vocab.gguf")
    # With these in a text, the library sees special tokens, as transformers does.
    texts = [re.sub("</?s>|<unk>", "", text) for text in [TEXT, " " * 77, *random_strings(500, 13)]]
    assert differing(tokenizer, llama.encode, list(filter(None, texts))) == []
    assert llama.encode("lion", add_special=True) == tokenizer.encode_prompt("lion").tolist()


def test_scores_as_they_were_give_the_same_ids(tmp_path: Path) -> None:
    names, scores = pieces()
    tokenizer = load_tokenizer(sentencepiece())
    types = [2, 3, 3, *[6] * 256, *[1] * (len(names) - 259)]
    fields = TokenizerFields(
        model="llama",
        pre="default",
        tokens=list(names),
        token_types=types,
        scores=[score * 0.37 - 5 for score in scores],
        bos_id=1,
        eos_id=2,
        add_bos=True,
        add_space_prefix=True,
    )
    llama = Llama(fields, tmp_path / "vocab.gguf")
    texts = [re.sub("</?s>|<unk>", "", text) for text in random_strings(300, 14)]
    assert differing(tokenizer, llama.encode, list(filter(None, texts))) == []


@pytest.mark.parametrize("pre", ["gpt-2", "smollm", "llama-bpe", "dbrx", "stablelm2"])
def test_llama_cpp_knows_the_pre_tokenizers_by_these_names(pre: str, tmp_path: Path) -> None:
    from core.interop.gguf.byte_level import KNOWN

    steps, normalizer, ignores = KNOWN[pre]
    source = byte_level(json.dumps(steps), json.dumps(normalizer), ignores)
    tokenizer = load_tokenizer(source, end_ids=[0])
    llama = Llama(to_fields(tokenizer, tokenizer.vocab_size), tmp_path / "vocab.gguf")
    different = differing(tokenizer, llama.encode, [TEXT, *random_strings(500, 15)])
    assert [text for text in different if not UNICODE_16.search(text)] == []


def test_normal_forms_are_left_to_the_user_of_llama_cpp(tmp_path: Path) -> None:
    """Qwen2 and OLMo compose characters first; llama.cpp reads their models without that."""
    import unicodedata

    from core.interop.gguf.byte_level import KNOWN

    for pre in ("qwen2", "olmo"):
        steps, normalizer, ignores = KNOWN[pre]
        source = byte_level(json.dumps(steps), json.dumps(normalizer), ignores)
        tokenizer = load_tokenizer(source, end_ids=[0])
        llama = Llama(to_fields(tokenizer, tokenizer.vocab_size), tmp_path / "vocab.gguf")
        texts = [unicodedata.normalize("NFC", text) for text in random_strings(500, 16)]
        different = differing(tokenizer, llama.encode, texts)
        assert [text for text in different if not UNICODE_16.search(text)] == []
