"""Inputs: the arrays that go into a model: checked, tokenised where they are text, and hashed row by row."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.text import Tokenizer
from export.errors import InvalidData
from serve.tensor import DATATYPES, Arrays

Lengths = NDArray[np.int64]

MASK = "attention_mask"
# The dimension that padding fills up.
TOKENS = "tokens"
_TEXT = "text"
# What training and every client can write: no text, and no half floats, which JSON does not carry.
_TYPES = [dtype for name, dtype in DATATYPES.items() if name not in ("BYTES", "FP16", "BF16")]


def read_inputs(
    place: str, raw: Mapping[str, Any], tokenizer: Tokenizer | None
) -> tuple[Arrays, Lengths | None]:
    """The arrays that a model takes, read-only, and the tokens of each row where rows are padded.

    Raises InvalidData, which names `place`, the input and the row."""
    arrays = _encode(place, raw, tokenizer) if _TEXT in raw and tokenizer is not None else raw
    rows = len(np.atleast_1d(next(iter(arrays.values()))))
    inputs = {str(name): _read_array(f"{place}: input {name}", arrays[name], rows) for name in arrays}
    return inputs, _read_lengths(f"{place}: input {MASK}", inputs)


def name_dims(inputs: Arrays, lengths: Lengths | None) -> dict[str, tuple[str | int, ...]]:
    """Per input its dimensions as the graph names them: first "batch", then "tokens" where that is the
    padded one, else the number."""
    padded = None if lengths is None else inputs[MASK].shape[1]
    return {
        name: ("batch", *(TOKENS if size == padded else size for size in array.shape[1:2]), *array.shape[2:])
        for name, array in inputs.items()
    }


def hash_rows(inputs: Arrays, lengths: Lengths | None) -> tuple[str, ...]:
    """SHA-256 of each row over all its inputs, without padding."""
    dims = name_dims(inputs, lengths)
    names = sorted(inputs)
    head = "".join(f"{name} {inputs[name].dtype} {dims[name][1:]};" for name in names).encode()
    hashes = []
    for row in range(len(inputs[names[0]])):
        digest = hashlib.sha256(head)
        for name in names:
            padded = lengths is not None and TOKENS in dims[name]
            content = (
                inputs[name][row, : lengths[row]] if padded and lengths is not None else inputs[name][row]
            )
            digest.update(content.tobytes())
        hashes.append(digest.hexdigest())
    return tuple(hashes)


def _encode(place: str, inputs: Mapping[str, Any], tokenizer: Tokenizer) -> Arrays:
    texts = inputs[_TEXT]
    if len(inputs) > 1 or isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise InvalidData(
            f"{place} has the inputs {', '.join(map(str, inputs))}; text stands alone and is a list of "
            'strings: {"text": ["...", ...]}'
        )
    if not len(texts):
        raise InvalidData(f"{place} is empty; every split needs rows")
    return tokenizer.encode(place, texts)


def _read_array(place: str, raw: Any, rows: int) -> NDArray[np.generic]:
    array = np.ascontiguousarray(raw).view()
    array.flags.writeable = False
    if array.dtype not in _TYPES:
        text = array.dtype.kind in "OSUT"
        fix = "give numbers; only a model from Hugging Face has a tokenizer, for the input 'text'"
        raise InvalidData(
            f"{place} is {array.dtype}, which is not exported; "
            + (fix if text else f"convert it to one of {', '.join(map(str, _TYPES))}")
        )
    if array.ndim == 0 or len(array) != rows:
        raise InvalidData(f"{place} has the shape {list(np.shape(raw))}; all inputs have equally many rows")
    if array.size == 0:
        raise InvalidData(f"{place} is empty, {list(np.shape(raw))}; every split needs rows")
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0])
        raise InvalidData(f"{place} holds NaN or infinity, first in row {row}; clean or drop such rows")
    return array


def _read_lengths(place: str, inputs: Arrays) -> NDArray[np.int64] | None:
    mask = inputs.get(MASK)
    if mask is None or mask.ndim != 2:
        return None
    lengths: Lengths = np.count_nonzero(mask, axis=1).astype(np.int64)
    expected = np.arange(mask.shape[1]) < lengths[:, None]
    wrong = np.flatnonzero((mask != expected).any(axis=1) | (lengths == 0))
    if len(wrong):
        raise InvalidData(
            f"{place} is {mask[wrong[0]].tolist()!s:.60} in row {wrong[0]}; expected one or more 1, then "
            "only 0: pad on the right"
        )
    return lengths
