"""Chooses the held-out rows that are explained, and what replaces their features."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.datasets import Split
from export.data.inputs import MASK, TOKENS
from export.data.tokenizer import NEEDED, Tokenizer
from export.onnx.model_proto import load
from export.proof.graph_cost import count_multiply_adds
from export.proof.graph_stats import longest_row
from serve.base.tensor import Arrays
from serve.bundles.onnx_graph import Graph
from serve.tasks.occlusion import MOST_FEATURES, Occlusion, find_middle

_MOST_ROWS = 512
_FEWEST_ROWS = 16
# Multiply-adds that the explanations of one variant may take: a minute or less on one core.
_BUDGET = 1e12


def choose_rows(graph: Graph, split: Split, seed: int) -> list[Arrays]:
    """Return at most 512 rows, [1, ...] each, in their order; down to 16 if the model is large."""
    # A row is run without each of its features, with two replacements.
    runs = 2 * (1 + MOST_FEATURES)
    cost = runs * count_multiply_adds(load(graph), longest_row(split))
    most = int(min(max(_BUDGET // max(cost, 1), _FEWEST_ROWS), _MOST_ROWS, len(split)))
    chosen = np.sort(np.random.default_rng(seed).choice(len(split), most, replace=False))
    return [split.take(np.array([row], np.int64)) for row in chosen]


def read_occlusions(split: Split, tokenizer: Tokenizer | None, seed: int) -> list[Occlusion]:
    """Return what replaces the features, from each half of the rows of `split`; only one if both are the
    same, as for a text."""
    rows = np.random.default_rng(seed).permutation(len(split))
    first, second = (_read_half(split, half, tokenizer) for half in np.array_split(rows, 2))
    same = all(_equal(fill, second.fills[name]) for name, fill in first.fills.items())
    return [first] if same else [first, second]


def _read_half(split: Split, rows: NDArray[np.int64], tokenizer: Tokenizer | None) -> Occlusion:
    tokens = frozenset(name for name, dims in split.dims.items() if name != MASK and dims[1:2] == (TOKENS,))
    fills: dict[str, NDArray[Any]] = {}
    for name, array in split.inputs.items():
        if name == MASK:
            continue
        if name not in tokens:
            fills[name] = find_middle(array[rows])
        elif array.dtype.kind == "f":
            assert split.lengths is not None, "rows of tokens have lengths"
            real = np.arange(array.shape[1]) < split.lengths[rows][:, None]
            fills[name] = find_middle(array[rows][real])
        elif tokenizer is None or name in NEEDED:
            # Without a tokenizer, nothing is known of the ids but that 0 often pads.
            fills[name] = np.array(0 if tokenizer is None else tokenizer.unknown_id, array.dtype)
    return Occlusion(fills=fills, tokens=tokens & fills.keys())


def _equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))
