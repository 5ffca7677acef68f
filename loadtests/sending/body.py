"""Encodes inference requests before the run, except for the id of each request."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtests.errors import LoadTestError
from loadtests.sending.datatypes import to_bytes
from loadtests.sending.model_metadata import ModelMetadata, TensorMetadata
from serve.base.tensor import BINARY_ONLY

Arrays = Mapping[str, NDArray[Any]]

# The header with the size of the JSON in bytes, after which binary tensors follow.
JSON_BYTES_HEADER = "Inference-Header-Content-Length"
# All ids have the same length, so the size of the JSON is known before the id.
_ID_DIGITS = 10
_OPENING = b'{"id":"'


def make_id(number: int) -> str:
    """Return the id of the request with this number."""
    return f"{number:0{_ID_DIGITS}d}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """The parts that all requests with one input share."""

    headers: Mapping[str, str]
    # The rest of the body after its id.
    rest: bytes

    def with_id(self, request_id: str) -> bytes:
        """Return the body of one request; `request_id` comes from make_id."""
        return b"".join((_OPENING, request_id.encode(), self.rest))


def encode_json(arrays: Arrays, metadata: ModelMetadata) -> Body:
    """Encode the arrays as JSON. Raises LoadTestError if JSON cannot represent the model's datatypes."""
    for role, specs in (("input", metadata.inputs), ("output", metadata.outputs)):
        for spec in specs:
            if spec.datatype in BINARY_ONLY:
                raise LoadTestError(
                    f"{role} {spec.name!r} of {metadata.name} is {spec.datatype}, which JSON cannot "
                    "represent; add --binary"
                )
    inputs = [
        {**_head(spec, arrays), "data": [_plain(element) for element in arrays[spec.name].reshape(-1)]}
        for spec in metadata.inputs
    ]
    return Body(headers={"Content-Type": "application/json"}, rest=b'",' + _dump({"inputs": inputs})[1:])


def encode_binary(arrays: Arrays, metadata: ModelMetadata) -> Body:
    """Encode the arrays as bytes after the JSON (the binary data extension), and request the answer in the
    same form."""
    tensors = [to_bytes(arrays[spec.name], spec.datatype) for spec in metadata.inputs]
    inputs = [
        {**_head(spec, arrays), "parameters": {"binary_data_size": len(tensor)}}
        for spec, tensor in zip(metadata.inputs, tensors, strict=True)
    ]
    head = b'",' + _dump({"parameters": {"binary_data_output": True}, "inputs": inputs})[1:]
    return Body(
        headers={
            "Content-Type": "application/octet-stream",
            JSON_BYTES_HEADER: str(len(_OPENING) + _ID_DIGITS + len(head)),
        },
        rest=b"".join((head, *tensors)),
    )


def _head(spec: TensorMetadata, arrays: Arrays) -> dict[str, Any]:
    return {"name": spec.name, "shape": arrays[spec.name].shape, "datatype": spec.datatype}


def _dump(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def _plain(element: Any) -> Any:
    # Use the shortest text of the float itself; otherwise 0.1 as FP32 would be sent as 0.10000000149011612.
    return float(str(element)) if isinstance(element, np.floating) else element.item()
