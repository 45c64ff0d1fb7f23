"""Folders that are damaged, dangerous, or of a model that we lack: one sentence each."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import FormatError
from core.interop import untrusted_files
from core.interop.huggingface.config import find_architecture, from_json
from core.interop.huggingface.reader import read_hf
from core.interop.huggingface.settings import Settings
from tests.core.huggingface_models import POSITIONS, config_of, lively, written

LLAMA = {"norm": "rmsnorm", "activation": "swiglu", "n_kv_heads": 2}
WEIGHTS = "model.safetensors"
Change = dict[str, Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A good folder of each kind."""
    place = tmp_path_factory.mktemp("whole")
    kinds: dict[str, dict[str, Any]] = {
        "llama": LLAMA,
        "mistral": {**LLAMA, "n_heads": 3, "n_kv_heads": 1, "d_head": 16},
        "qwen3": {**LLAMA, "qk_norm": True},
        "gpt2": {"positions": "learned"},
        "neox": {"rope_dims": 4},
        "opt": {"positions": "learned", "norm_place": "post"},
        "smollm3": {**LLAMA, "positions": "none"},
        "stablelm": {"activation": "swiglu"},
    }
    for name, changes in kinds.items():
        written(lively(config_of(**changes)), place / name)
    return {name: place / name for name in kinds}


@pytest.fixture
def folder(whole: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole["llama"], tmp_path / "llama"))


def refusal(folder: Path, max_seq_len: int = 0) -> tuple[str, str]:
    with pytest.raises(FormatError) as caught:
        read_hf(folder, "M", max_seq_len)
    return str(caught.value), caught.value.hint


def edit(folder: Path, changes: Change, name: str = "config.json") -> None:
    content = json.loads((folder / name).read_text("utf-8")) | changes
    kept = {key: value for key, value in content.items() if value is not ...}
    (folder / name).write_text(json.dumps(kept), "utf-8")


AGAIN = "Fetch the folder again, with all of its files."
WHOLE = "That takes a whole number from 1 to 16777216."
ROPE = {"rope_type": "llama3", "factor": 2.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
SETTINGS: list[tuple[str, Change, str, str]] = [
    ("llama", {"hidden_size": ...}, "hidden_size=None", WHOLE),
    ("llama", {"hidden_size": [32]}, "hidden_size=something nested", WHOLE),
    ("llama", {"num_hidden_layers": True}, "num_hidden_layers=True", WHOLE),
    ("llama", {"vocab_size": -1}, "vocab_size=-1", WHOLE),
    ("llama", {"vocab_size": 1 << 40}, "vocab_size=1099511627776", WHOLE),
    ("llama", {"intermediate_size": "48"}, "intermediate_size='48'", WHOLE),
    ("llama", {"intermediate_size": ...}, "intermediate_size=None", WHOLE),
    (
        "llama",
        {"max_position_embeddings": 1 << 40},
        "max_position_embeddings=1099511627776",
        "That takes a whole number from 1 to 2147483648.",
    ),
    ("llama", {"rms_norm_eps": "tiny"}, "rms_norm_eps='tiny'", "That takes a number."),
    (
        "llama",
        {"rope_theta": 1e300, "rope_parameters": ...},
        "rope_theta=1e+300",
        "That takes a number.",
    ),
    ("llama", {"tie_word_embeddings": 0}, "tie_word_embeddings=0", "That takes true or false."),
    ("llama", {"attention_bias": "no"}, "attention_bias='no'", "That takes true or false."),
    (
        "llama",
        {"hidden_act": "gelu"},
        "hidden_act='gelu'",
        "minitf has silu, swish there.",
    ),
    ("llama", {"hidden_act": ["silu"]}, "hidden_act=something nested", "minitf has silu, swish"),
    ("gpt2", {"activation_function": "silu"}, "activation_function='silu'", "minitf has gelu, "),
    *(
        ("llama", {"rope_scaling": {"rope_type": kind}}, f"rope_type='{kind}'", "minitf has def")
        for kind in ("yarn", "dynamic", "longrope")
    ),
    ("llama", {"rope_scaling": {"type": "yarn"}}, "rope_type='yarn'", "minitf has default, linear"),
    ("llama", {"rope_scaling": {"rope_type": ["a"]}}, "rope_type=something nested", "minitf has"),
    ("llama", {"rope_scaling": "linear"}, "rope_scaling='linear'", "That takes an object."),
    ("llama", {"rope_scaling": {"rope_type": "linear"}}, "factor=None", "That takes a number."),
    (
        "llama",
        {"rope_scaling": ROPE | {"low_freq_factor": 2.0}},
        "low_freq_factor=2.0",
        "minitf has 1 there.",
    ),
    (
        "llama",
        {"rope_scaling": ROPE | {"original_max_position_embeddings": 2.5}},
        "original_max_position_embeddings=2.5",
        "That takes a whole number from 1 up.",
    ),
    (
        "llama",
        {"partial_rotary_factor": 0.5},
        "partial_rotary_factor=0.5",
        "There, minitf turns whole heads only.",
    ),
    (
        "neox",
        {"rotary_pct": 1.5, "rope_parameters": ...},
        "partial_rotary_factor=1.5",
        "That is above 0, and at most 1.",
    ),
    ("neox", {"head_dim": 16}, "head_dim=16", "minitf has 8 there."),
    (
        "mistral",
        {"sliding_window": 256},
        "sliding_window=256",
        f"minitf looks back over all of its {POSITIONS} positions; keep at most 256.",
    ),
    ("mistral", {"sliding_window": "all"}, "sliding_window='all'", WHOLE),
    (
        "qwen3",
        {"use_sliding_window": True, "sliding_window": 16},
        "sliding_window=16",
        "minitf looks back over all",
    ),
    (
        "qwen3",
        {"layer_types": ["linear_attention"]},
        "layer_types=something nested",
        "minitf has full_attention and sliding_attention there.",
    ),
    ("qwen3", {"layer_types": 7}, "layer_types=7", "minitf has full_attention and"),
    (
        "gpt2",
        {"scale_attn_by_inverse_layer_idx": True},
        "scale_attn_by_inverse_layer_idx=True",
        "minitf has False there.",
    ),
    ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights=False", "minitf has True there."),
    ("stablelm", {"qk_layernorm": True}, "qk_layernorm=True", "minitf has False there."),
    ("stablelm", {"use_parallel_residual": True}, "use_parallel_residual=True", "minitf has"),
    ("opt", {"word_embed_proj_dim": 16}, "word_embed_proj_dim=16", "minitf has 32 there."),
    ("smollm3", {"no_rope_layers": [1, 0]}, "no_rope_layers=something nested", "minitf has 0 for"),
    ("smollm3", {"no_rope_layers": ...}, "no_rope_layers=None", "minitf has 0 for each block ther"),
    *(
        ("llama", {key: value}, f"{key}={shown}", "minitf lacks what that asks for.")
        for key, value, shown in (
            ("attention_multiplier", 0.5, "0.5"),
            ("logits_scaling", 8.0, "8.0"),
            ("final_logit_softcapping", 30.0, "30.0"),
            ("quantization_config", {"bits": 4}, "something nested"),
            ("auto_map", {"AutoModel": "x.Y"}, "something nested"),
            ("num_local_experts", 8, "8"),
        )
    ),
]


@pytest.mark.parametrize(("kind", "changes", "named", "hint"), SETTINGS)
def test_a_setting_that_we_lack_is_named(
    kind: str,
    changes: Change,
    named: str,
    hint: str,
    whole: dict[str, Path],
    tmp_path: Path,
) -> None:
    folder = Path(shutil.copytree(whole[kind], tmp_path / "a"))
    edit(folder, changes)
    message, advice = refusal(folder)
    assert message == f"M: config.json has {named}."
    assert advice.startswith(hint)


def test_a_shape_that_no_model_has_is_refused_in_our_words(folder: Path) -> None:
    edit(folder, {"num_key_value_heads": 3})
    assert refusal(folder) == (
        "M: config.json describes no model of ours: n_heads=4 is not a multiple of n_kv_heads=3.",
        "Try n_kv_heads=1, 2, 4.",
    )


def test_an_unknown_architecture_is_named_with_those_that_we_know(folder: Path) -> None:
    edit(folder, {"model_type": "rwkv"})
    message, hint = refusal(folder)
    assert message == "M: minitf does not know the architecture 'rwkv'."
    assert hint == (
        "It knows apertus, arcee, gpt2, gpt_neox, llama, mistral, opt, qwen2, qwen3, smollm3,"
        " stablelm, starcoder2."
    )
    edit(folder, {"model_type": {"a": 1}})
    assert refusal(folder)[0] == "M: minitf does not know the architecture something nested."


ODD = [None, True, -1, 0, 3, 10**25, 0.5, -1e29, "x", "", [], [[1]], {}, {"a": []}]


def odd_settings(folder: Path) -> Iterator[dict[str, Any]]:
    """The settings of a folder with one of them wrong, in every way."""
    whole = json.loads((folder / "config.json").read_text("utf-8"))
    for key in (*whole, "sliding_window", "layer_types", "head_dim", "quantization_config"):
        for value in ODD:
            yield whole | {key: value}
    for part in whole.get("rope_parameters", {}):
        for value in ODD:
            rope = whole["rope_parameters"] | {part: value}
            yield whole | {"rope_parameters": rope, "rope_scaling": None}


def test_any_value_of_any_setting_is_taken_or_refused(whole: dict[str, Path]) -> None:
    """Whatever stands there, nothing else escapes."""
    n_refused = 0
    for folder in whole.values():
        for found in odd_settings(folder):
            try:
                from_json(Settings(find_architecture(found, "M"), found, "M"), 0)
            except FormatError:
                n_refused += 1
    assert n_refused > 1000


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama", "gpt2", "neox", "opt"])
def test_so_it_is_when_the_whole_folder_is_read(
    kind: str, whole: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(whole[kind], tmp_path / "a"))
    for found in odd_settings(whole[kind]):
        (folder / "config.json").write_text(json.dumps(found), "utf-8")
        with suppress(FormatError):
            read_hf(folder, "M", 0)


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (b"\xff\xfe{}", "M: config.json is not UTF-8.", "Fetch the file again."),
        (b"[]", "M: config.json holds no JSON object.", "Fetch the file again."),
        (b"{", "M: config.json is not JSON that can be read: ", "Fetch the file again."),
        (b'{"a": NaN}', "M: config.json is not JSON that can be read: NaN is not", "Fetch the"),
        (b"[" * 100_000, "M: config.json is not JSON that can be read: ", "Fetch the"),
        (b'{"a": ' + b"9" * 5000 + b"}", "M: config.json is not JSON that can be read: ", "Fet"),
        (
            b" " * (10 << 20) + b"{}",
            "M: config.json is longer than 10485760 bytes.",
            "No such file of a model is; this is another one.",
        ),
    ],
)
def test_a_file_that_is_no_json_is_refused(
    content: bytes, message: str, hint: str, folder: Path
) -> None:
    (folder / "config.json").write_bytes(content)
    said, advice = refusal(folder)
    assert said.startswith(message)
    assert advice.startswith(hint)


def test_files_that_are_missing_are_named(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert refusal(folder) == (
        "M has no tokenizer.",
        "Put its tokenizer.json into the folder.",
    )
    (folder / "tokenizer.model").write_bytes(b"\x0a")
    assert refusal(folder) == (
        "M has a tokenizer.model, and no tokenizer.json.",
        "Write one with transformers: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR).",
    )
    (folder / "config.json").unlink()
    assert refusal(folder) == ("M lacks config.json.", AGAIN)


def test_a_folder_without_safetensors_is_refused(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    assert refusal(folder) == (
        "M holds no model.safetensors.",
        "minitf reads safetensors only: a pickle can run code.",
    )


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid"), reason="rights of POSIX")
def test_a_file_that_cannot_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert refusal(folder) == ("M: config.json cannot be read: Permission denied.", AGAIN)


def test_merges_that_are_no_pairs_are_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text('{"a": 0}')
    (folder / "merges.txt").write_text("#version: 0.2\na b c\n")
    assert refusal(folder) == (
        "M: merges.txt holds a line that is not two tokens.",
        "Fetch the file again.",
    )


def test_ends_that_are_no_ids_are_refused(folder: Path) -> None:
    edit(folder, {"eos_token_id": "end"}, "generation_config.json")
    assert refusal(folder) == (
        "M has eos_token_id='end'.",
        "That takes a token id, or a list of up to 64.",
    )
    edit(folder, {"eos_token_id": list(range(65))}, "generation_config.json")
    assert refusal(folder)[0] == "M has eos_token_id=something nested."


def test_a_link_to_elsewhere_is_refused_and_one_of_the_hubs_cache_is_not(
    folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(folder / WEIGHTS, elsewhere / "secret")
    (folder / WEIGHTS).symlink_to(elsewhere / "secret")
    assert refusal(folder) == (
        "M: model.safetensors is a link to a file elsewhere.",
        "Put the file itself into the folder.",
    )
    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "1234", tmp_path / "models--a--b"
    (blobs / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (elsewhere / "secret").rename(folder / "blob")
    (folder / WEIGHTS).unlink()
    (folder / "blob").rename(folder / WEIGHTS)
    for path in list(folder.iterdir()):
        path.rename(blobs / "blobs" / path.name)
        (snapshot / path.name).symlink_to(Path("../../blobs") / path.name)
    assert read_hf(snapshot, "M", 0).config.d_model == 32


def header_of(data: bytes) -> tuple[dict[str, Any], bytes]:
    (n,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + n]), data[8 + n :]


def with_header(header: dict[str, Any], rest: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + rest


def overlapping(data: bytes) -> bytes:
    header, rest = header_of(data)
    names = [name for name in header if name != "__metadata__"]
    header[names[1]]["data_offsets"] = header[names[0]]["data_offsets"]
    return with_header(header, rest)


def beyond(data: bytes) -> bytes:
    header, rest = header_of(data)
    header["lm_head.weight"]["data_offsets"][1] += 1 << 40
    return with_header(header, rest)


def enormous(data: bytes) -> bytes:
    header, rest = header_of(data)
    header["lm_head.weight"]["shape"] = [1 << 62, 1 << 62]
    return with_header(header, rest)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "seven bytes": lambda data: data[:7],
    "half a header": lambda data: data[:200],
    "half": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "one byte more": lambda data: data + b"\0",
    "a header longer than the file": lambda data: struct.pack("<Q", 1 << 62) + data[8:],
    "no header": lambda data: struct.pack("<Q", 0) + data[8:],
    "no json": lambda data: data[:8] + b"\xff" * 50 + data[58:],
    "deep json": lambda data: struct.pack("<Q", 90_000) + b"[" * 90_000,
    "overlapping tensors": overlapping,
    "a tensor beyond the end": beyond,
    "an enormous shape": enormous,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_are_refused(damage: str, folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(DAMAGES[damage](data))
    message, hint = refusal(folder)
    assert message.startswith("M: model.safetensors cannot be read: ")
    assert hint == "It is damaged, or not whole; fetch it again."


def change_tensors(folder: Path, **changes: torch.Tensor | None) -> None:
    tensors = load_file(folder / WEIGHTS) | changes
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})


def test_tensors_that_do_not_fit_are_named(folder: Path) -> None:
    norm = "model.layers.1.input_layernorm.weight"
    original = (folder / WEIGHTS).read_bytes()
    change_tensors(folder, **{norm: None})
    assert refusal(folder) == (f"M lacks a tensor: {norm}.", AGAIN)
    (folder / WEIGHTS).write_bytes(original)
    change_tensors(folder, **{"model.layers.1.self_attn.q_proj.bias": torch.ones(32)})
    assert refusal(folder) == (
        "M holds a tensor that LlamaForCausalLM has not: model.layers.1.self_attn.q_proj.bias.",
        "Its architecture has parts that minitf lacks.",
    )
    (folder / WEIGHTS).write_bytes(original)
    change_tensors(folder, **{norm: torch.ones(31)})
    assert refusal(folder) == (
        f"M: {norm} has the shape (31,), not (32,).",
        "The file is damaged, or config.json is of another model.",
    )


def test_a_fused_tensor_of_another_shape_is_refused(whole: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole["gpt2"], tmp_path / "a"))
    fused = "transformer.h.0.attn.c_attn.weight"
    change_tensors(folder, **{fused: torch.ones(96, 32)})
    assert refusal(folder)[0] == f"M: {fused} has the shape (96, 32), not (32, 96)."


def test_more_blocks_than_tensors_are_refused_before_they_are_built(folder: Path) -> None:
    edit(folder, {"num_hidden_layers": 9_000_000})
    assert refusal(folder) == (
        "M: config.json speaks of 9000000 blocks, and there are 21 tensors.",
        "The file is damaged, or config.json is of another model.",
    )


def test_a_model_that_no_machine_can_hold_is_refused(folder: Path) -> None:
    edit(folder, dict.fromkeys(("hidden_size", "num_attention_heads", "head_dim"), 1 << 24))
    assert refusal(folder) == (
        "M: config.json describes a model that is too large.",
        "The file is damaged.",
    )


def test_whole_numbers_are_no_weights(folder: Path) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    change_tensors(folder, **{name: torch.zeros(88, 32, dtype=torch.int8)})
    found = read_hf(folder, "M", 0)
    with pytest.raises(FormatError) as caught:
        found.tensors["blocks.0.feed_forward.up_proj.weight"]()
    assert str(caught.value) == f"M: {name} is of the type I8."
    assert caught.value.hint == "minitf reads f32, f16 and bf16; fetch the model unquantised."


INDEX = "model.safetensors.index.json"


def sharded(folder: Path, places: object) -> Path:
    (folder / WEIGHTS).rename(folder / "one.safetensors")
    (folder / INDEX).write_text(json.dumps({"weight_map": places}))
    return folder


def test_an_index_without_places_is_refused(folder: Path) -> None:
    assert refusal(sharded(folder, [])) == (
        f"M: {INDEX} has no weight_map.",
        "Fetch the file again.",
    )


@pytest.mark.parametrize(
    "name",
    [
        "../secret.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "..",
        "c:x.safetensors",
        "x.bin",
        7,
    ],
)
def test_a_shard_that_is_no_plain_name_is_refused(name: object, folder: Path) -> None:
    assert refusal(sharded(folder, {"a": name})) == (
        f"M: {INDEX} names a file that is none of the folder's: {str(name)!r}.",
        "Take models from those whom you trust.",
    )


def test_shards_that_are_missing_or_too_many_are_refused(folder: Path) -> None:
    sharded(folder, {"a": "two.safetensors"})
    assert refusal(folder) == ("M lacks two.safetensors.", AGAIN)
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "one.safetensors"}}))
    assert refusal(folder) == (f"M: one.safetensors lacks a, which {INDEX} places there.", AGAIN)
    places = {f"{i}": f"{i}.safetensors" for i in range(1001)}
    (folder / INDEX).write_text(json.dumps({"weight_map": places}))
    assert refusal(folder) == (
        f"M: {INDEX} names more than 1000 files.",
        "No model that minitf can hold has so many.",
    )


def test_a_tokenizer_that_has_no_end_is_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.interop.huggingface.tokenizer.MOST_TOKENIZER_BYTES", 100)
    assert refusal(folder)[0] == "M: tokenizer.json is longer than 100 bytes."
    assert untrusted_files.MOST_TOKENIZER_BYTES == 100 << 20
