"""What kind of parameter a name means, and what optimisers keep of each kind. Pure, no torch.

A name is looked at, not its module: so that files can be checked, and memory be counted,
without a model.
"""

from __future__ import annotations

from collections.abc import Mapping

Shapes = Mapping[str, tuple[int, ...]]

MATRIX, EMBEDDING, HEAD, VECTOR = KINDS = ("matrix", "embedding", "head", "vector")
_ADAMW = ("exp_avg", "exp_avg_sq")
_MOMENTS = {"adamw": _ADAMW, "muon": _ADAMW, "sgd": ("momentum_buffer",), "lion": ("exp_avg",)}
_OF_MATRICES = {**_MOMENTS, "muon": ("momentum_buffer",)}


def kind_of(name: str, n_dims: int) -> str:
    """One of `KINDS`: the matrices are those of blocks; the head is one where it is not tied;
    all tables that are looked up, by token or by position, are embeddings."""
    if n_dims < 2:
        return VECTOR
    if name == "head.weight":
        return HEAD
    is_in_block = name.startswith("blocks.") and "embedding" not in name
    return MATRIX if is_in_block and n_dims == 2 else EMBEDDING


def moments_of(kind: str, optimizer: str) -> tuple[str, ...]:
    """Names of the tensors, as large as a parameter of that kind, that are kept beside it."""
    return (_OF_MATRICES if kind == MATRIX else _MOMENTS)[optimizer]


def moment_shapes(shapes: Shapes, optimizer: str) -> dict[str, tuple[int, ...]]:
    """All tensors of an optimiser's state, of a model with parameters of these shapes."""
    found: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        moments = moments_of(kind_of(name, len(shape)), optimizer)
        found |= {f"{name}.{moment}": shape for moment in moments}
        if moments == _ADAMW:
            found[f"{name}.step"] = ()
    return found
