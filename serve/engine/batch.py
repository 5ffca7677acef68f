"""Joining: which requests of a model may share a run, how they become one, and whose rows are whose; and how
rows that may share none are taken apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from serve.base.errors import ModelFailed
from serve.base.tensor import Arrays, Signature
from serve.engine.shapes import Shape

Outputs = dict[str, NDArray[np.generic]]
_SMALLEST_LENGTH = 16
# The input that says which tokens of a row are padding.
_MASK = "attention_mask"


@dataclass(frozen=True, kw_only=True, slots=True)
class Joining:
    """How requests of one model share a run."""

    signature: Signature
    # More rows in a run than this no longer pay.
    full_rows: int
    # Input -> what pads its second dimension, where lengths may differ; empty: they may not.
    pads: Mapping[str, int]

    def rows_of(self, arrays: Arrays) -> int:
        """How many rows a request brings."""
        return len(arrays[self.signature.inputs[0].name]) if self.signature.batches else 1

    def key_of(self, arrays: Arrays) -> object:
        """What requests that share a run have in common: every dimension but the rows, or, where padding
        makes those equal, nearly their length, so that at most half of what is computed is padding."""
        if self.pads:
            return (max(self._length_of(arrays), _SMALLEST_LENGTH) - 1).bit_length()
        return tuple(arrays[spec.name].shape[1:] for spec in self.signature.inputs)

    def shape_of(self, arrays: Arrays) -> Shape:
        """The shapes of a run's inputs."""
        return tuple(arrays[spec.name].shape for spec in self.signature.inputs)

    def join(self, requests: Sequence[Arrays]) -> Arrays:
        """The arrays of all, one behind the other, padded to the longest."""
        if len(requests) == 1:
            return requests[0]
        longest = max(map(self._length_of, requests)) if self.pads else 0
        return {
            spec.name: np.concatenate(
                [self._padded(arrays[spec.name], spec.name, longest) for arrays in requests]
            )
            for spec in self.signature.inputs
        }

    def split(self, requests: Sequence[Arrays], outputs: Outputs) -> list[Outputs]:
        """Each request's own rows, cut to its own length. Raises ModelFailed when it is unclear whose."""
        if len(requests) == 1:
            return [outputs]
        ends = list(accumulate(map(self.rows_of, requests)))
        if strange := {name for name, rows in outputs.items() if len(rows) != ends[-1]}:
            raise ModelFailed(f"{', '.join(sorted(strange))}: not one row of output for each of input")
        shares = [
            {name: rows[start:end] for name, rows in outputs.items()}
            for start, end in zip([0, *ends[:-1]], ends, strict=True)
        ]
        if self.pads:
            self._cut(requests, shares)
        return shares

    def _length_of(self, arrays: Arrays) -> int:
        length: int = arrays[self.signature.inputs[0].name].shape[1]
        return length

    def _padded(self, array: NDArray[np.generic], name: str, length: int) -> NDArray[np.generic]:
        if not self.pads or array.shape[1] == length:
            return array
        missing = [(0, 0), (0, length - array.shape[1]), *[(0, 0)] * (array.ndim - 2)]
        return np.pad(array, missing, constant_values=self.pads[name])

    def _cut(self, requests: Sequence[Arrays], shares: Sequence[Outputs]) -> None:
        length = self.signature.inputs[0].shape[1]
        long = [spec for spec in self.signature.outputs if length in spec.shape]
        for arrays, share in zip(requests, shares, strict=True):
            for spec in long:
                own = tuple(slice(self._length_of(arrays) if dim == length else None) for dim in spec.shape)
                share[spec.name] = share[spec.name][own]


def split_rows(signature: Signature, arrays: Arrays) -> list[Arrays]:
    """Each row by itself, a text without the padding behind it."""
    count = len(next(iter(arrays.values())))
    rows: list[Arrays] = [
        {name: array[row : row + 1] for name, array in arrays.items()} for row in range(count)
    ]
    if _find_tokens(signature) is None:
        return rows
    return [{name: array[:, : _count_tokens(row[_MASK])] for name, array in row.items()} for row in rows]


def stack_rows(signature: Signature, arrays: Arrays, answers: Sequence[Outputs]) -> Outputs:
    """The outputs of all rows, which were split from `arrays`, as one run gives them; 0 where a text has been
    padded."""
    tokens = _find_tokens(signature)
    stacked: Outputs = {}
    for spec in signature.outputs:
        outputs = [answer[spec.name] for answer in answers]
        if tokens is not None and tokens in spec.shape[1:]:
            length = arrays[_MASK].shape[1]
            outputs = [_fill(output, spec.shape, tokens, length) for output in outputs]
        stacked[spec.name] = np.concatenate(outputs)
    return stacked


def _find_tokens(signature: Signature) -> str | None:
    """The dimension along which texts are padded; None: the inputs are not those of texts."""
    if _MASK not in signature.input_by_name:
        return None
    dims = {spec.shape if len(spec.shape) == 2 else () for spec in signature.inputs}
    if len(dims) != 1 or not (shape := dims.pop()) or not isinstance(shape[1], str):
        return None
    # An output of another free length cannot be filled up: nobody knows to which.
    free = {dim for spec in signature.outputs for dim in spec.shape if isinstance(dim, str)}
    return shape[1] if free <= set(shape) else None


def _count_tokens(mask: NDArray[np.generic]) -> int:
    """Up to the last that counts; all where none does."""
    counted = np.flatnonzero(mask[0])
    return int(counted[-1]) + 1 if len(counted) else mask.shape[1]


def _fill(
    output: NDArray[np.generic], shape: Sequence[int | str], tokens: str, length: int
) -> NDArray[np.generic]:
    missing = [
        (0, length - size if axis and dim == tokens else 0)
        for axis, (dim, size) in enumerate(zip(shape, output.shape, strict=True))
    ]
    return np.pad(output, missing)
