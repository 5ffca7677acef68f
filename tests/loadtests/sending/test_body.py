import json
from typing import Any

import numpy as np
import pytest

from loadtests.errors import LoadTestError
from loadtests.sending.body import Body, encode_binary, encode_json, make_id
from loadtests.sending.model_metadata import ModelMetadata


def _metadata(datatype: str, output: str = "FP32") -> ModelMetadata:
    return ModelMetadata.model_validate(
        {
            "name": "m",
            "inputs": [{"name": "x", "datatype": datatype, "shape": [-1]}],
            "outputs": [{"name": "y", "datatype": output, "shape": [-1]}],
        }
    )


def _read(body: Body, number: int) -> tuple[Any, bytes]:
    """The JSON of one request and what comes behind it, by the header alone."""
    content = body.with_id(make_id(number))
    size = int(body.headers["Inference-Header-Content-Length"])
    return json.loads(content[:size]), content[size:]


def test_json_carries_the_id() -> None:
    """The id is added without encoding the inputs again."""
    body = encode_json({"x": np.zeros(2, np.float32)}, _metadata("FP32"))
    assert json.loads(body.with_id(make_id(7)))["id"] == "0000000007"
    assert body.headers == {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("datatype", "array", "tail"),
    [
        ("FP32", np.array([0.5, -2], np.float32), b"\0\0\0\x3f\0\0\0\xc0"),
        ("FP16", np.array([0.5, -2], np.float16), b"\0\x38\0\xc0"),
        ("BF16", np.array([0.5, -2], np.float32), b"\0\x3f\0\xc0"),
        ("INT64", np.array([1, -1], np.int64), b"\1\0\0\0\0\0\0\0" + b"\xff" * 8),
        ("BOOL", np.array([True, False]), b"\1\0"),
        ("BYTES", np.array(["", "né"]), b"\0\0\0\0\3\0\0\0n\xc3\xa9"),
    ],
)
def test_tensors_travel_as_bytes(datatype: str, array: Any, tail: bytes) -> None:
    """Binary tensors are little-endian and row-major, texts have a length prefix, and the JSON has the
    size."""
    content, behind = _read(encode_binary({"x": array}, _metadata(datatype)), 7)
    (tensor,) = content["inputs"]
    assert behind == tail
    assert tensor == {
        "name": "x",
        "datatype": datatype,
        "shape": [2],
        "parameters": {"binary_data_size": len(tail)},
    }


def test_binary_asks_for_binary() -> None:
    """A binary request asks for a binary answer, and its JSON has the id."""
    content, _ = _read(encode_binary({"x": np.zeros(2, np.float32)}, _metadata("FP32")), 7)
    assert content["parameters"] == {"binary_data_output": True}
    assert content["id"] == "0000000007"


@pytest.mark.parametrize("number", [0, 10**10 - 1])
def test_the_header_holds_for_every_id(number: int) -> None:
    """Ids have the same length, so one header fits all requests."""
    content, behind = _read(encode_binary({"x": np.zeros(2, np.float32)}, _metadata("FP32")), number)
    assert int(content["id"]) == number
    assert len(behind) == 8


@pytest.mark.parametrize(
    ("input_", "output", "complaint"),
    [("FP16", "FP32", "input 'x' of m is FP16"), ("FP32", "BF16", "output 'y' of m is BF16")],
)
def test_what_json_cannot_carry_is_refused(input_: str, output: str, complaint: str) -> None:
    """FP16 is refused as JSON, and the error suggests `--binary`."""
    with pytest.raises(LoadTestError, match=f"{complaint}, which JSON cannot represent; add --binary"):
        encode_json({"x": np.zeros(2, np.float16)}, _metadata(input_, output))
