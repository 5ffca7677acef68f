"""Checks the input arrays of a model, tokenizes text, and hashes each row."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.several_sizes import Sizes, pad_rows
from export.data.tokenizer import Tokenizer
from export.errors import InvalidData, reason_of
from serve.base.tensor import DATATYPES, Arrays

Lengths = NDArray[np.int64]

MASK = "attention_mask"
# The dimension that is padded.
TOKENS = "tokens"
_TEXT = "text"
# Types that training and every client support; strings and half floats, which JSON does not represent, are
# excluded.
_TYPES = [dtype for name, dtype in DATATYPES.items() if name not in ("BYTES", "FP16", "BF16")]
# numpy's kinds of text: objects, and strings of fixed and of variable length.
_TEXT_KINDS = "OUT"


@dataclass(frozen=True, kw_only=True)
class PaddedInputs:
    """The input arrays of a model, and what of them is padding."""

    # Read-only, [rows, ...] by name.
    arrays: Arrays
    # The number of tokens of each row; None: there is no padded text.
    lengths: Lengths | None
    # The sizes of each row, [rows, dimensions of a row], of inputs whose rows have several shapes.
    sizes: Sizes


def read_inputs(
    place: str, raw: Mapping[str, Any], tokenizer: Tokenizer | None, *, of_file: bool = False
) -> PaddedInputs:
    """Return the inputs of a model. Rows of several shapes, given as a list of arrays, are padded with zeros.

    A model `of_file` (one that came as a graph) may also take strings, as objects of type str, and NaN for
    missing values. Raises InvalidData, which names `place`, the input and the row."""
    arrays = _encode(place, raw, tokenizer) if _TEXT in raw and tokenizer is not None else raw
    padded = {str(name): pad_rows(f"{place}: input {name}", array) for name, array in arrays.items()}
    converted = {
        name: _convert(f"{place}: input {name}", array, of_file) for name, (array, _) in padded.items()
    }
    rows = len(np.atleast_1d(next(iter(converted.values()))))
    inputs = {
        name: _check(f"{place}: input {name}", array, rows, of_file) for name, array in converted.items()
    }
    return PaddedInputs(
        arrays=inputs,
        lengths=_read_lengths(f"{place}: input {MASK}", inputs),
        sizes={name: sizes for name, (_, sizes) in padded.items() if sizes is not None},
    )


def name_dims(inputs: Arrays, lengths: Lengths | None) -> dict[str, tuple[str | int, ...]]:
    """Return the dimension names of each input: "batch" first, "tokens" for the padded one, otherwise the
    number."""
    padded = None if lengths is None else inputs[MASK].shape[1]
    return {
        name: ("batch", *(TOKENS if size == padded else size for size in array.shape[1:2]), *array.shape[2:])
        for name, array in inputs.items()
    }


def hash_rows(inputs: PaddedInputs) -> tuple[str, ...]:
    """Return the SHA-256 of each row over all its inputs, without padding."""
    arrays, lengths = inputs.arrays, inputs.lengths
    dims = name_dims(arrays, lengths)
    names = sorted(arrays)
    hashes = []
    for row in range(len(arrays[names[0]])):
        shapes = {name: tuple(inputs.sizes[name][row].tolist()) for name in inputs.sizes}
        head = "".join(f"{name} {arrays[name].dtype} {shapes.get(name, dims[name][1:])};" for name in names)
        digest = hashlib.sha256(head.encode())
        for name in names:
            content = arrays[name][row]
            if name in shapes:
                content = np.ascontiguousarray(content[tuple(map(slice, shapes[name]))])
            elif lengths is not None and TOKENS in dims[name]:
                content = content[: lengths[row]]
            digest.update(_bytes_of(content))
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


def _bytes_of(content: NDArray[np.generic] | str) -> bytes:
    # An array of strings of shape [rows] has a plain string in each row.
    if isinstance(content, str):
        return json.dumps(content).encode()
    # The bytes of an object array are only pointers.
    return json.dumps(content.tolist()).encode() if content.dtype.kind == "O" else content.tobytes()


def _check(place: str, array: NDArray[np.generic], rows: int, of_file: bool) -> NDArray[np.generic]:
    array = array.view()
    array.flags.writeable = False
    if array.ndim == 0 or len(array) != rows:
        raise InvalidData(f"{place} has the shape {list(np.shape(array))}; all inputs have equally many rows")
    if array.size == 0:
        raise InvalidData(f"{place} is empty, {list(np.shape(array))}; every split needs rows")
    if np.issubdtype(array.dtype, np.floating):
        lost = np.isinf(array) if of_file else ~np.isfinite(array)
        if lost.any():
            what = "infinity" if of_file else "NaN or infinity"
            row = int(np.argwhere(lost)[0][0])
            raise InvalidData(f"{place} holds {what}, first in row {row}; clean or drop such rows")
    return array


def _convert(place: str, raw: Any, of_file: bool) -> NDArray[np.generic]:
    """Convert the array to a type that clients can send."""
    try:
        array = np.ascontiguousarray(raw)
    except ValueError as error:
        raise InvalidData(
            f"{place} is not an array: {reason_of(error)}; give all rows the same shape, or pad them"
        ) from None
    if array.dtype == np.float16:
        # The conversion is exact.
        return array.astype(np.float32)
    text = array.dtype.kind in _TEXT_KINDS
    if text and of_file:
        strings = array.astype(object)
        if all(isinstance(item, str) for item in strings.ravel()):
            return strings
    if array.dtype not in _TYPES:
        fix = "give numbers, or give the source a `tokenizer`, and texts as the only input, 'text'"
        if of_file:
            fix = "give numbers, or strings only"
        raise InvalidData(
            f"{place} is {array.dtype}, which is not supported; "
            + (fix if text else f"convert it to one of {', '.join(map(str, _TYPES))}")
        )
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
