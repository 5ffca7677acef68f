"""The JSON forms of requests and answers of the servers."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]

_DATATYPES = {"float32": "FP32", "float64": "FP64", "int32": "INT32", "int64": "INT64"}


@dataclass(frozen=True, kw_only=True)
class PeerAnswer:
    """The answer of a server."""

    # None if the server has only one variant.
    variant: str | None
    outputs: Arrays


@dataclass(frozen=True, kw_only=True)
class BodyForm:
    """One form of a request with one row."""

    # Encodes arrays of shape [1, ...] as a body.
    encode: Callable[[Arrays], bytes]
    # Decodes the body of an answer into arrays of shape [1, ...]. Raises LookupError, TypeError or
    # ValueError.
    decode: Callable[[bytes], PeerAnswer]


def _encode_protocol(arrays: Arrays) -> bytes:
    inputs = [
        {
            "name": name,
            "shape": array.shape,
            "datatype": _DATATYPES[str(array.dtype)],
            "data": _plain(array.ravel()),
        }
        for name, array in arrays.items()
    ]
    return _dump({"id": "bench", "inputs": inputs})


def _decode_protocol(body: bytes) -> PeerAnswer:
    answer = json.loads(body)
    outputs = {
        tensor["name"]: np.array(tensor["data"], np.float64).reshape(tensor["shape"])
        for tensor in answer["outputs"]
    }
    return PeerAnswer(variant=answer.get("model_version"), outputs=outputs)


def _encode_row(arrays: Arrays) -> bytes:
    return _dump(_row(arrays))


def _decode_row(body: bytes) -> PeerAnswer:
    return _read_row(json.loads(body))


def _encode_rows(arrays: Arrays) -> bytes:
    return _dump({"rows": [_row(arrays)]})


def _decode_rows(body: bytes) -> PeerAnswer:
    (row,) = json.loads(body)
    return _read_row(row)


def _row(arrays: Arrays) -> dict[str, Any]:
    return {name: _plain(array[0]) for name, array in arrays.items()}


def _read_row(row: Mapping[str, Any]) -> PeerAnswer:
    return PeerAnswer(
        variant=None, outputs={name: np.array([value], np.float64) for name, value in row.items()}
    )


def _plain(array: NDArray[Any]) -> Any:
    # Use the shortest text of the float itself; otherwise 0.1 as FP32 would be sent as 0.10000000149011612.
    return (array.astype(np.str_).astype(np.float64) if array.dtype.kind == "f" else array).tolist()


def _dump(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


# The Open Inference Protocol; one row as an object; a list of one row.
PROTOCOL = BodyForm(encode=_encode_protocol, decode=_decode_protocol)
ROW = BodyForm(encode=_encode_row, decode=_decode_row)
ROWS = BodyForm(encode=_encode_rows, decode=_decode_rows)
