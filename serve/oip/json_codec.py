"""The protocol's JSON form: a request body to checked arrays, arrays to an answer's body."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from serve.errors import InvalidRequest, ModelFailed
from serve.record import nearest
from serve.tensor import Arrays, Signature, TensorSpec

_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "a whole number",
    float: "a fraction",
    type(None): "null or missing",
}
# What an element may be in JSON, by the numpy kind of its datatype.
_ACCEPTED: dict[str, set[type]] = {"f": {int, float}, "i": {int}, "u": {int}, "b": {bool}}


@dataclass(frozen=True, kw_only=True, slots=True)
class InferRequest:
    """One inference request, every input checked against the signature."""

    # Echoed in the answer; None: the client sent none.
    id: str | None
    arrays: Arrays
    # The outputs to answer, in this order.
    outputs: tuple[str, ...]


def decode_request(body: bytes, signature: Signature) -> InferRequest:
    """The request in `body`. Raises InvalidRequest: which tensor, what came, what was expected."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from None
    if not isinstance(request, dict):
        raise InvalidRequest(f"the body is {_kind(request)}, expected an object with 'inputs'")
    identity = request.get("id")
    if identity is not None and not isinstance(identity, str):
        raise InvalidRequest(f"'id' is {_kind(identity)}, expected a string")
    arrays = _decode_inputs(request.get("inputs"), signature)
    return InferRequest(
        id=identity, arrays=arrays, outputs=_select_outputs(request.get("outputs"), signature)
    )


def encode_response(
    model: str, variant: str, request: InferRequest, outputs: Arrays, signature: Signature
) -> bytes:
    """The answer's body; `model_version` says who answered. Raises ModelFailed on NaN and infinity."""
    answer: dict[str, Any] = {"model_name": model, "model_version": variant}
    if request.id is not None:
        answer["id"] = request.id
    datatypes = {spec.name: spec.datatype for spec in signature.outputs}
    tensors = []
    for name in request.outputs:
        array = outputs[name]
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ModelFailed(
                f"{model}/{variant} answered NaN or infinity in {name!r}, which JSON cannot carry"
            )
        flat = np.ascontiguousarray(array).reshape(-1)
        tensors.append({"name": name, "datatype": datatypes[name], "shape": array.shape, "data": flat})
    answer["outputs"] = tensors
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def _decode_inputs(inputs: Any, signature: Signature) -> dict[str, NDArray[np.generic]]:
    if not isinstance(inputs, list):
        raise InvalidRequest(f"'inputs' is {_kind(inputs)}, expected a list of tensors")
    arrays: dict[str, NDArray[np.generic]] = {}
    lengths: dict[str, tuple[int, str]] = {}
    for tensor in inputs:
        name = tensor.get("name") if isinstance(tensor, dict) else None
        if not isinstance(name, str):
            raise InvalidRequest(f"an input is {_kind(tensor)} without a 'name', expected a tensor object")
        spec = signature.input_by_name.get(name)
        if spec is None:
            raise InvalidRequest(
                f"input {name!r} is not of this model; {nearest(name, signature.input_by_name)}"
            )
        if name in arrays:
            raise InvalidRequest(f"input {name!r} came twice, expected it once")
        arrays[name] = _decode_tensor(tensor, spec, lengths)
    missing = [name for name in signature.input_by_name if name not in arrays]
    if missing:
        raise InvalidRequest(
            f"input {missing[0]!r} is missing; expected: {', '.join(signature.input_by_name)}"
        )
    return arrays


def _decode_tensor(
    tensor: Mapping[str, Any], spec: TensorSpec, lengths: dict[str, tuple[int, str]]
) -> NDArray[np.generic]:
    if tensor.get("datatype") != spec.datatype:
        came = tensor.get("datatype")
        raise InvalidRequest(f"input {spec.name!r} has datatype {came!r:.40}, expected {spec.datatype}")
    shape = _check_shape(tensor.get("shape"), spec, lengths)
    data = tensor.get("data")
    if not isinstance(data, list):
        raise InvalidRequest(f"input {spec.name!r} has {_kind(data)} as 'data', expected a list")
    return _convert(_flatten(data, shape, spec), spec).reshape(shape)


def _flatten(data: list[Any], shape: tuple[int, ...], spec: TensorSpec) -> list[Any]:
    """The elements in row-major order; `data` is flat already, or nested exactly as `shape` says."""
    if len(shape) > 1 and data and type(data[0]) is list:
        if len(data) != shape[0]:
            raise InvalidRequest(
                f"input {spec.name!r} has {len(data)} rows of data, expected {shape[0]} for {list(shape)}"
            )
        for length in shape[1:]:
            if set(map(type, data)) != {list} or set(map(len, data)) != {length}:
                raise InvalidRequest(
                    f"input {spec.name!r} has 'data' that is not nested as its shape {list(shape)} says"
                )
            data = list(chain.from_iterable(data))
    if len(data) != math.prod(shape):
        raise InvalidRequest(
            f"input {spec.name!r} has {len(data)} elements, "
            f"expected {math.prod(shape)} for shape {list(shape)}, flat or nested"
        )
    return data


def _check_shape(shape: Any, spec: TensorSpec, lengths: dict[str, tuple[int, str]]) -> tuple[int, ...]:
    if not isinstance(shape, list) or not all(type(dim) is int and dim >= 1 for dim in shape):
        raise InvalidRequest(
            f"input {spec.name!r} has shape {shape!r:.80}, expected a list of whole numbers from 1 up"
        )
    if len(shape) != len(spec.shape):
        raise InvalidRequest(
            f"input {spec.name!r} has shape {shape!r:.80} of rank {len(shape)}, "
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


def _convert(elements: list[Any], spec: TensorSpec) -> NDArray[np.generic]:
    if strange := set(map(type, elements)) - _ACCEPTED[spec.dtype.kind]:
        came = " and ".join(sorted(_KINDS[kind] for kind in strange))
        raise InvalidRequest(f"input {spec.name!r} has {came} in 'data', expected {spec.datatype} elements")
    try:
        with np.errstate(over="ignore"):
            array = np.array(elements, spec.dtype)
    except OverflowError:
        raise InvalidRequest(
            f"input {spec.name!r} has elements from {min(elements)} to {max(elements)}, "
            f"which {spec.datatype} cannot hold"
        ) from None
    if spec.dtype.kind == "f" and not np.isfinite(array).all():
        raise InvalidRequest(
            f"input {spec.name!r} has an element beyond {spec.datatype}, expected finite numbers"
        )
    return array


def _select_outputs(asked: Any, signature: Signature) -> tuple[str, ...]:
    if asked is None or asked == []:
        return signature.output_names
    if not isinstance(asked, list):
        raise InvalidRequest(f"'outputs' is {_kind(asked)}, expected a list of objects with a 'name'")
    names: list[str] = []
    for item in asked:
        name = item.get("name") if isinstance(item, dict) else item
        if name not in signature.output_names:
            known = ", ".join(signature.output_names)
            raise InvalidRequest(f"'outputs' asks for {name!r:.80}, expected names of outputs: {known}")
        names.append(name)
    return tuple(names)


def _kind(value: Any) -> str:
    return _KINDS[type(value)]
