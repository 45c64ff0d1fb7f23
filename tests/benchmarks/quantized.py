"""Runs of `minitf quantize` for the benchmarks, and what the same matrices take in a GGUF."""

from __future__ import annotations

import core
from core.errors import RunError
from core.infer.quantize import EMBEDDING, plan
from core.interop.gguf.number_types import WRITTEN, choose_type, count_bytes
from core.model.transformer import Transformer
from core.open_run import OpenRun, open_for_use
from core.store.find import find_run

ENDS = {EMBEDDING: "token_embd.weight", "head.weight": "output.weight"}
"""Their names in a GGUF, by which its writer knows them."""


def quantized(run: str, bits: int, **settings: int) -> OpenRun:
    """The run that `minitf quantize RUN --bits BITS` makes, made if it is not there.

    Args:
        run: the name of a run.
        settings: other fields of `QuantizeConfig`; the method is the default one.
    """
    name = f"{run}-int{bits}"
    try:
        find_run(name)
    except RunError:
        core.quantize(run, name, bits=bits, **settings)
    return open_for_use(name, device="cpu", dtype="float32", threads=0)


def matrix_bytes(model: Transformer) -> int:
    """Of the matrices that quantisation is about, packed ones as they are packed."""
    return sum(
        model.packed[name].nbytes if name in model.packed else 4 * model.get_parameter(name).numel()
        for name in _names(model)
    )


def gguf_bytes(model: Transformer, number_type: str) -> int:
    """Of the same matrices in the file that `minitf export` writes of a model in full."""
    return sum(_gguf_sizes(model, number_type).values())


def gguf_read(model: Transformer, number_type: str) -> int:
    """Bytes of weights that a token needs: see `core.measure.limits.weights_read`."""
    sizes = _gguf_sizes(model, number_type)
    rest = sum(4 * p.numel() for name, p in model.named_parameters() if name not in sizes)
    table = 0 if model.config.tied_head else sizes[EMBEDDING]
    return rest + sum(sizes.values()) - table + table // model.config.vocab_size


def _gguf_sizes(model: Transformer, number_type: str) -> dict[str, int]:
    sizes = {}
    for name in _names(model):
        weight = model.get_parameter(name).detach()
        kind = choose_type(ENDS.get(name, name), weight, WRITTEN[number_type][0])
        sizes[name] = count_bytes(tuple(weight.shape), kind)
    return sizes


def _names(model: Transformer) -> list[str]:
    return [layout.name for layout in plan(model, core.QuantizeConfig())]
