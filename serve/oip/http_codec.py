"""Decode the body of an HTTP request into checked arrays, and encode arrays as the body of an answer.

A body is JSON, with tensors inside it or as bytes after it."""

from collections.abc import Mapping
from typing import Any

import orjson

from serve.base.error_text import brief, kind
from serve.base.errors import InvalidRequest
from serve.base.tensor import Arrays, Signature
from serve.engine.request import InferRequest, RequestedOutput
from serve.oip.answer_types import OutputTensor
from serve.oip.binary import read_binary, write_binary
from serve.oip.classification import classify
from serve.oip.elements import read_elements, write_elements
from serve.oip.raw_body import read_raw_body
from serve.oip.request_inputs import Inputs, choose_form
from serve.oip.request_parameters import (
    Parameters,
    check_parameters,
    read_switch,
    read_timeout_s,
    refuse_shared_memory,
)
from serve.oip.requested_outputs import each_once, request_all, request_one

# The size of the JSON in bytes; tensors follow it.
JSON_BYTES_HEADER = "inference-header-content-length"


def read_json_bytes(header: str | None) -> int | None:
    """The value of the header Inference-Header-Content-Length; None if all is JSON. Raises InvalidRequest."""
    if header is None:
        return None
    if not (header.isascii() and header.isdigit() and len(header) <= 18):
        raise InvalidRequest(
            f"the header Inference-Header-Content-Length is {brief(header)}, "
            "expected the size of the JSON in bytes"
        )
    return int(header)


def decode_request(
    body: bytes, json_bytes: int | None, forms: tuple[Signature, ...], max_elements: int
) -> InferRequest:
    """Decode the request in `body`. The first `json_bytes` are JSON; None: all of it; 0: the body is the only
    input, as bytes.

    Raises InvalidRequest, which names the tensor, the value and the expected value; or RequestTooLarge."""
    if json_bytes == 0:
        return read_raw_body(body, forms, max_elements)
    tail = _Tail(body, json_bytes)
    try:
        request = orjson.loads(body if json_bytes is None else memoryview(body)[:json_bytes])
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from None
    if not isinstance(request, dict):
        raise InvalidRequest(f"the body is {kind(request)}, expected an object with 'inputs'")
    identity = request.get("id")
    if identity is not None and not isinstance(identity, str):
        raise InvalidRequest(f"'id' is {kind(identity)}, expected a string")
    given = request.get("parameters")
    parameters: Parameters = {} if given is None else check_parameters(given)
    inputs = request.get("inputs")
    if not isinstance(inputs, list):
        raise InvalidRequest(f"'inputs' is {kind(inputs)}, expected a list of tensors")
    first = inputs[0].get("name") if inputs and isinstance(inputs[0], dict) else None
    form = choose_form(first, forms)
    # Outputs first: if they are not valid, the inputs need not be read.
    outputs = _select_outputs(request.get("outputs"), parameters, form)
    arrays = _decode_inputs(inputs, Inputs(form, max_elements), tail)
    return InferRequest(id=identity, arrays=arrays, outputs=outputs, timeout_s=read_timeout_s(parameters))


def encode_answer(  # noqa: PLR0913, PLR0917 - the parts of an answer
    model: str,
    variant: str,
    request: InferRequest,
    outputs: Arrays,
    signature: Signature,
    parameters: Parameters,
    labels: tuple[str, ...] = (),
) -> tuple[bytes, int | None]:
    """The body of the answer, and the size of its JSON if bytes follow; `model_version` is the variant.

    If JSON cannot represent a value, raises ModelFailed on NaN and infinity, and InvalidRequest on bytes."""
    answer: dict[str, Any] = {"model_name": model, "model_version": variant}
    if request.id is not None:
        answer["id"] = request.id
    if parameters:
        answer["parameters"] = parameters
    tensors: list[OutputTensor] = []
    tail = []
    for requested in request.outputs:
        array, datatype = outputs[requested.name], signature.output_by_name[requested.name].datatype
        if requested.classes:
            array, datatype = classify(array, requested.classes, labels, batches=signature.batches), "BYTES"
        tensor: OutputTensor = {"name": requested.name, "datatype": datatype, "shape": array.shape}
        if requested.binary:
            tail.append(write_binary(array))
            tensor["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            tensor["data"] = write_elements(array, requested.name, f"{model}/{variant}")
        tensors.append(tensor)
    answer["outputs"] = tensors
    body = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join((body, *tail)), len(body)) if tail else (body, None)


class _Tail:
    """The bytes after the JSON, tensor by tensor."""

    __slots__ = ("_body", "_json_bytes", "_position")

    def __init__(self, body: bytes, json_bytes: int | None) -> None:
        if json_bytes is not None and json_bytes > len(body):
            raise InvalidRequest(
                f"the header Inference-Header-Content-Length is {json_bytes}, but the body has only "
                f"{len(body)} bytes"
            )
        self._body = body
        self._json_bytes = json_bytes
        self._position = len(body) if json_bytes is None else json_bytes

    def take(self, size: Any, name: str) -> bytes:
        if type(size) is not int or size < 0:
            raise InvalidRequest(
                f"input {name!r} has the parameter binary_data_size {brief(size)}, expected a number of bytes"
            )
        if self._json_bytes is None:
            raise InvalidRequest(
                f"input {name!r} has the parameter binary_data_size, but the request has no header "
                "Inference-Header-Content-Length, which gives the start of the bytes"
            )
        end = self._position + size
        if end > len(self._body):
            raise InvalidRequest(
                f"input {name!r} has {len(self._body) - self._position} bytes left after the JSON, "
                f"expected {size}, its binary_data_size"
            )
        content, self._position = self._body[self._position : end], end
        return content

    def refuse_rest(self) -> None:
        if self._position < len(self._body):
            consumed = self._position - (self._json_bytes or 0)
            raise InvalidRequest(
                f"{len(self._body) - (self._json_bytes or 0)} bytes follow the JSON, "
                f"expected {consumed}: the sum of the inputs' binary_data_size"
            )


def _decode_inputs(tensors: list[Any], inputs: Inputs, tail: _Tail) -> Arrays:
    for tensor in tensors:
        if not isinstance(tensor, dict):
            raise InvalidRequest(f"an input is {kind(tensor)}, expected an object with a 'name'")
        spec, shape = inputs.expect(tensor.get("name"), tensor.get("datatype"), tensor.get("shape"))
        parameters = tensor.get("parameters")
        if parameters is None:
            inputs.add(spec, read_elements(tensor.get("data"), spec, shape))
            continue
        parameters = _object(parameters, spec.name)
        size = parameters.get("binary_data_size")
        if size is None:
            inputs.add(spec, read_elements(tensor.get("data"), spec, shape))
        elif "data" in tensor:
            raise InvalidRequest(f"input {spec.name!r} has both 'data' and a binary_data_size, expected one")
        else:
            inputs.add(spec, read_binary(tail.take(size, spec.name), spec, shape))
    tail.refuse_rest()
    return inputs.complete()


def _select_outputs(items: Any, parameters: Parameters, signature: Signature) -> tuple[RequestedOutput, ...]:
    binary = read_switch(parameters, "binary_data_output") or False
    if not items and (items is None or isinstance(items, list)):
        return request_all(signature, binary=binary)
    if not isinstance(items, list):
        raise InvalidRequest(f"'outputs' is {kind(items)}, expected a list of objects with a 'name'")
    return each_once(_select_output(item, signature, binary=binary) for item in items)


def _select_output(item: Any, signature: Signature, *, binary: bool) -> RequestedOutput:
    if not isinstance(item, dict):
        raise InvalidRequest(f"'outputs' has {kind(item)} in it, expected objects with a 'name'")
    name = item.get("name")
    item_parameters = item.get("parameters")
    if item_parameters is None:
        return request_one(name, None, signature, binary=binary)
    parameters = _object(item_parameters, name)
    own = read_switch(parameters, "binary_data")
    return request_one(
        name, parameters.get("classification"), signature, binary=binary if own is None else own
    )


def _object(parameters: Any, tensor: Any) -> Mapping[str, Any]:
    if not isinstance(parameters, dict):
        raise InvalidRequest(
            f"tensor {brief(tensor)} has {kind(parameters)} as 'parameters', expected an object"
        )
    refuse_shared_memory(parameters, tensor)
    return parameters
