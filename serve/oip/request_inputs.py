"""Inputs: the tensors of one request while they are read, checked against the form that they belong to."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve.base.errors import InvalidRequest, RequestTooLarge
from serve.base.record import nearest
from serve.base.tensor import Arrays, Signature, TensorSpec
from serve.base.wording import brief, kind, shorten

Shape = tuple[int, ...]


def choose_form(first: Any, forms: tuple[Signature, ...]) -> Signature:
    """The first of a model's forms that has an input of this name, the name of the request's first input;
    the very first where none has."""
    if len(forms) > 1 and isinstance(first, str):
        for form in forms:
            if first in form.input_by_name:
                return form
    return forms[0]


class Inputs:
    """Takes the inputs of one request, in the order in which they come."""

    __slots__ = ("_arrays", "_form", "_lengths", "_max_elements", "_room")

    def __init__(self, form: Signature, max_elements: int) -> None:
        self._form = form
        self._arrays: dict[str, NDArray[np.generic]] = {}
        # The varying dimensions seen so far: how long, and in which input.
        self._lengths: dict[str, tuple[int, str]] = {}
        self._max_elements = max_elements
        self._room = max_elements

    def expect(self, name: Any, datatype: Any, shape: Any) -> tuple[TensorSpec, Shape]:
        """The specification and the checked shape of the next input, before its data is looked at.

        Raises InvalidRequest, or RequestTooLarge when there are too many elements in all."""
        if not isinstance(name, str):
            raise InvalidRequest(f"an input has {kind(name)} as its 'name', expected a string")
        spec = self._form.input_by_name.get(name)
        if spec is None:
            name = shorten(name)
            raise InvalidRequest(
                f"input {name!r} is not of this model; {nearest(name, self._form.input_by_name)}"
            )
        if name in self._arrays:
            raise InvalidRequest(f"input {name!r} came twice, expected it once")
        if datatype != spec.datatype:
            raise InvalidRequest(f"input {name!r} has datatype {brief(datatype)}, expected {spec.datatype}")
        checked = _check_shape(shape, spec, self._lengths)
        self._room -= math.prod(checked)
        if self._room < 0:
            raise RequestTooLarge(
                f"the inputs up to {name!r} have {self._max_elements - self._room} elements, "
                f"at most {self._max_elements} are taken; send fewer rows in a request"
            )
        return spec, checked

    def add(self, spec: TensorSpec, array: NDArray[np.generic]) -> None:
        """Take the data of the input that was expected last."""
        self._arrays[spec.name] = array

    def complete(self) -> Arrays:
        """All inputs, by name. Raises InvalidRequest when one is missing."""
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
            + ("; there is nothing to answer where nothing came, so send no request for it" if empty else "")
        )
    if len(shape) != len(spec.shape):
        raise InvalidRequest(
            f"input {spec.name!r} has shape {brief(shape)} of rank {len(shape)}, "
            f"expected rank {len(spec.shape)}: {spec.wire_shape}"
        )
    for came, expected in zip(shape, spec.shape, strict=True):
        if isinstance(expected, int):
            if came != expected:
                raise InvalidRequest(f"input {spec.name!r} has shape {shape}, expected {spec.wire_shape}")
            continue
        length, owner = lengths.setdefault(expected, (came, spec.name))
        if came != length:
            raise InvalidRequest(
                f"input {spec.name!r} has {came} as its dimension {expected!r}, "
                f"expected {length} as in input {owner!r}"
            )
    return tuple(shape)
