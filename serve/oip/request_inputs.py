"""Check the input tensors of one request against the model's signature while they are read."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve.base.error_text import brief, kind, shorten
from serve.base.errors import InvalidRequest, RequestTooLarge
from serve.base.record import nearest
from serve.base.tensor import Arrays, Signature, TensorSpec

Shape = tuple[int, ...]


def choose_form(first: Any, forms: tuple[Signature, ...]) -> Signature:
    """The first of a model's signatures that has an input named `first`, the name of the request's first
    input; the very first signature if none has."""
    if len(forms) > 1 and isinstance(first, str):
        for form in forms:
            if first in form.input_by_name:
                return form
    return forms[0]


class Inputs:
    """Collects the inputs of one request, in their order."""

    __slots__ = ("_arrays", "_form", "_lengths", "_max_elements", "_room")

    def __init__(self, form: Signature, max_elements: int) -> None:
        self._form = form
        self._arrays: dict[str, NDArray[np.generic]] = {}
        # The varying dimensions so far -> their size, and the input that set it.
        self._lengths: dict[str, tuple[int, str]] = {}
        self._max_elements = max_elements
        self._room = max_elements

    def expect(self, name: Any, datatype: Any, shape: Any) -> tuple[TensorSpec, Shape]:
        """Check the name, datatype and shape of the next input, before its data is read.

        Raises InvalidRequest, or RequestTooLarge if the inputs together have too many elements."""
        if not isinstance(name, str):
            raise InvalidRequest(f"an input has {kind(name)} as its 'name', expected a string")
        spec = self._form.input_by_name.get(name)
        if spec is None:
            name = shorten(name)
            raise InvalidRequest(
                f"the model has no input {name!r}; {nearest(name, self._form.input_by_name)}"
            )
        if name in self._arrays:
            raise InvalidRequest(f"input {name!r} is there twice, expected it once")
        if datatype != spec.datatype:
            raise InvalidRequest(f"input {name!r} has datatype {brief(datatype)}, expected {spec.datatype}")
        checked = _check_shape(shape, spec, self._lengths)
        self._room -= math.prod(checked)
        if self._room < 0:
            raise RequestTooLarge(
                f"the inputs up to {name!r} have {self._max_elements - self._room} elements, "
                f"but at most {self._max_elements} are allowed; send fewer rows in a request"
            )
        return spec, checked

    def add(self, spec: TensorSpec, array: NDArray[np.generic]) -> None:
        """Store the data of the input that was checked last."""
        self._arrays[spec.name] = array

    def complete(self) -> Arrays:
        """All inputs, by name. Raises InvalidRequest if one is missing."""
        expected: Mapping[str, TensorSpec] = self._form.input_by_name
        if len(self._arrays) < len(expected):
            missing = next(name for name in expected if name not in self._arrays)
            raise InvalidRequest(f"input {missing!r} is missing; expected: {', '.join(expected)}")
        return self._arrays


def _check_shape(shape: Any, spec: TensorSpec, lengths: dict[str, tuple[int, str]]) -> Shape:
    if not isinstance(shape, list) or not all(type(dim) is int and dim >= 1 for dim in shape):
        empty = isinstance(shape, list) and 0 in shape and all(type(dim) is int for dim in shape)
        raise InvalidRequest(
            f"input {spec.name!r} has shape {brief(shape)}, expected a list of whole numbers from 1 up"
            + ("; an empty tensor has no rows to answer, so send no request for it" if empty else "")
        )
    if len(shape) != len(spec.shape):
        raise InvalidRequest(
            f"input {spec.name!r} has shape {brief(shape)} of rank {len(shape)}, "
            f"expected rank {len(spec.shape)}: {spec.wire_shape}"
        )
    for actual, expected in zip(shape, spec.shape, strict=True):
        if isinstance(expected, int):
            if actual != expected:
                raise InvalidRequest(f"input {spec.name!r} has shape {shape}, expected {spec.wire_shape}")
            continue
        length, owner = lengths.setdefault(expected, (actual, spec.name))
        if actual != length:
            raise InvalidRequest(
                f"input {spec.name!r} has {actual} as its dimension {expected!r}, "
                f"expected {length} as in input {owner!r}"
            )
    return tuple(shape)
