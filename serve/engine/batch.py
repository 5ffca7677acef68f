"""Join requests of a model into one run, and split the outputs again; split rows that run by themselves."""

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
# The input that tells tokens from padding.
_MASK = "attention_mask"


@dataclass(frozen=True, kw_only=True, slots=True)
class Joining:
    """How requests of one model are joined into a run."""

    signature: Signature
    # Beyond this many rows, a larger run does not reduce the cost per row.
    full_rows: int
    # Input -> the padding value of its second dimension, if lengths may differ; empty if they may not.
    pads: Mapping[str, int]

    def rows_of(self, arrays: Arrays) -> int:
        """The number of rows of a request."""
        return len(arrays[self.signature.inputs[0].name]) if self.signature.batches else 1

    def key_of(self, arrays: Arrays) -> object:
        """Requests with equal keys can share a run. The key has every dimension but the rows; or, if inputs
        are padded, the length rounded up to a power of 2, so that at most half of the computation is
        padding."""
        if self.pads:
            return (max(self._length_of(arrays), _SMALLEST_LENGTH) - 1).bit_length()
        return tuple(arrays[spec.name].shape[1:] for spec in self.signature.inputs)

    def shape_of(self, arrays: Arrays) -> Shape:
        """The shapes of the inputs of a run."""
        return tuple(arrays[spec.name].shape for spec in self.signature.inputs)

    def join(self, requests: Sequence[Arrays]) -> Arrays:
        """Concatenate the arrays of all requests, padded to the longest."""
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
        """Each request's rows, cut to its length. Raises ModelFailed if the outputs have other rows."""
        if len(requests) == 1:
            return [outputs]
        ends = list(accumulate(map(self.rows_of, requests)))
        if uneven := {name for name, rows in outputs.items() if len(rows) != ends[-1]}:
            raise ModelFailed(
                f"{', '.join(sorted(uneven))}: the output does not have one row for each input row"
            )
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
    """Return each row by itself, a text without its padding."""
    count = len(next(iter(arrays.values())))
    rows: list[Arrays] = [
        {name: array[row : row + 1] for name, array in arrays.items()} for row in range(count)
    ]
    if _find_tokens(signature) is None:
        return rows
    return [{name: array[:, : _count_tokens(row[_MASK])] for name, array in row.items()} for row in rows]


def stack_rows(signature: Signature, arrays: Arrays, answers: Sequence[Outputs]) -> Outputs:
    """Join the outputs of the rows that were split from `arrays` into those of one run; padding is 0."""
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
    """Return the dimension along which texts are padded; None if the inputs are not texts."""
    if _MASK not in signature.input_by_name:
        return None
    dims = {spec.shape if len(spec.shape) == 2 else () for spec in signature.inputs}
    if len(dims) != 1 or not (shape := dims.pop()) or not isinstance(shape[1], str):
        return None
    # An output with another free dimension cannot be padded: its length is unknown.
    free = {dim for spec in signature.outputs for dim in spec.shape if isinstance(dim, str)}
    return shape[1] if free <= set(shape) else None


def _count_tokens(mask: NDArray[np.generic]) -> int:
    """Return the number of tokens up to the last unmasked one; all if every token is masked."""
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
