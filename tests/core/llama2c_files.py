"""Files of llama2.c with random weights, and what it computes from them."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SHAPE = {"dim": 48, "hidden_dim": 40, "n_layers": 2, "n_heads": 6, "n_kv_heads": 2}
VOCAB, SEQ_LEN = 300, 256
BYTES = [f"<0x{b:02X}>" for b in range(256)]
LETTERS = "▁abcdehinrst.éjklmopqu"
JOINED = ("▁t", "he", "▁the", "re", "▁there", "in", "an", "and", "▁and", "in▁", "éa", "st", "ri")
PIECES = ["<unk>", "\n<s>\n", "\n</s>\n", *BYTES, *JOINED, *LETTERS]
PIECES += [f"#{n}" for n in range(VOCAB - len(PIECES))]


class Theirs:
    """A model of llama2.c with random weights, written and computed as it does that."""

    def __init__(self, *, is_tied: bool = True, seed: int = 0, **shape: int) -> None:
        self.shape = {**SHAPE, **shape}
        self.is_tied = is_tied
        self.dim, hidden, n_layers, n_heads, n_kv_heads = self.shape.values()
        self.head_size = self.dim // n_heads
        kv_dim = self.head_size * n_kv_heads
        rng = np.random.default_rng(seed)

        def draw(*axes: int) -> Array:
            scale = 1.0 if len(axes) < 3 else axes[-1] ** -0.5
            return (rng.standard_normal(axes) * scale).astype(np.float32)

        self.tokens = 0.2 * draw(VOCAB, self.dim)
        self.layers: dict[str, Array] = {
            "rms_att": 1 + 0.3 * draw(n_layers, self.dim),
            "wq": draw(n_layers, self.dim, self.dim),
            "wk": draw(n_layers, kv_dim, self.dim),
            "wv": draw(n_layers, kv_dim, self.dim),
            "wo": draw(n_layers, self.dim, self.dim),
            "rms_ffn": 1 + 0.3 * draw(n_layers, self.dim),
            "w1": draw(n_layers, hidden, self.dim),
            "w2": draw(n_layers, self.dim, hidden),
            "w3": draw(n_layers, hidden, self.dim),
        }
        self.rms_final = 1 + 0.3 * draw(self.dim)
        self.classifier = self.tokens if is_tied else 0.2 * draw(VOCAB, self.dim)

    def numbers(self) -> list[int]:
        return [*self.shape.values(), VOCAB, SEQ_LEN]

    def version_0(self) -> list[bytes]:
        """The file in its parts."""
        numbers = self.numbers()
        numbers[5] *= 1 if self.is_tied else -1
        angles = np.full((2, SEQ_LEN, self.head_size // 2), np.nan, np.float32)  # nobody reads
        head = [] if self.is_tied else [self.classifier]
        arrays = [self.tokens, *self.layers.values(), self.rms_final, angles, *head]
        return [struct.pack("<7i", *numbers), *(a.tobytes() for a in arrays)]

    def version_1(self) -> list[bytes]:
        """The file in its parts."""
        header = struct.pack("<Ii7iB", 0x616B3432, 1, *self.numbers(), self.is_tied)
        of = self.layers
        norms = [of["rms_att"], of["rms_ffn"], self.rms_final]
        rest = [of[name] for name in ("wq", "wk", "wv", "wo", "w1", "w2", "w3")]
        head = [] if self.is_tied else [self.classifier]
        arrays = [*norms, self.tokens, *rest, *head]
        return [header.ljust(256, b"\0"), *(a.tobytes() for a in arrays)]

    def logits(self, ids: list[int]) -> Array:
        """One position after another, as run.c goes; pairs of neighbours are turned."""
        size = self.head_size
        n_heads, n_kv_heads = self.shape["n_heads"], self.shape["n_kv_heads"]
        held: list[list[tuple[Array, Array]]] = [[] for _ in range(self.shape["n_layers"])]
        found = []
        for position, token in enumerate(ids):
            x = self.tokens[token].astype(np.float64)
            for n in range(self.shape["n_layers"]):
                of = {name: array[n] for name, array in self.layers.items()}
                y = rms_norm(x, of["rms_att"])
                q = [turned(h, position) for h in np.split(of["wq"] @ y, n_heads)]
                k = [turned(h, position) for h in np.split(of["wk"] @ y, n_kv_heads)]
                v = np.split(of["wv"] @ y, n_kv_heads)
                held[n].append((np.stack(k), np.stack(v)))
                mixed = []
                for h in range(n_heads):
                    group = h * n_kv_heads // n_heads
                    scores = np.array([q[h] @ past[group] for past, _ in held[n]]) / size**0.5
                    share = np.exp(scores - scores.max())
                    share /= share.sum()
                    values = np.stack([past[group] for _, past in held[n]])
                    mixed.append(share @ values)
                x = x + of["wo"] @ np.concatenate(mixed)
                y = rms_norm(x, of["rms_ffn"])
                gate = of["w1"] @ y
                x = x + of["w2"] @ (gate / (1 + np.exp(-gate)) * (of["w3"] @ y))
            found.append(self.classifier @ rms_norm(x, self.rms_final))
        return np.stack(found)


def rms_norm(x: Array, weight: Array) -> Array:
    return weight * x / math.sqrt(float(x @ x) / len(x) + 1e-5)


def turned(head: Array, position: int) -> Array:
    out = head.copy()
    for i in range(0, len(head), 2):
        angle = position / 10_000.0 ** (i / len(head))
        c, s = math.cos(angle), math.sin(angle)
        out[i], out[i + 1] = head[i] * c - head[i + 1] * s, head[i] * s + head[i + 1] * c
    return out


def tokenizer_bin(pieces: list[str], *, longest: int = 0) -> bytes:
    """A file of these pieces, the first ones with the best scores."""
    texts = [piece.replace("▁", " ").encode() for piece in pieces]
    tokens = [struct.pack("<fi", -n, len(text)) + text for n, text in enumerate(texts)]
    return struct.pack("<i", longest or max(map(len, texts))) + b"".join(tokens)


def encoded(text: str) -> list[int]:
    """As run.c does: characters or bytes, then the best-scored neighbours, until none join."""
    ids = {piece: n for n, piece in enumerate(PIECES) if n > 2}
    found: list[int] = [1]
    for character in "▁" * bool(text) + text.replace(" ", "▁"):
        known = ids.get(character)
        found += [known] if known is not None else [b + 3 for b in character.encode()]
    while True:
        joins = [
            (-ids[joined], -n)
            for n in range(1, len(found) - 1)
            if (joined := PIECES[found[n]] + PIECES[found[n + 1]]) in ids
        ]
        if not joins:
            return found
        best, place = (-number for number in max(joins))
        found[place : place + 2] = [best]
