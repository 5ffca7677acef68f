from typing import Any

import numpy as np
import orjson
import pytest

from serve.base.errors import InvalidRequest
from serve.base.tensor import Signature, TensorSpec
from serve.engine.request import InferRequest
from serve.oip.http_codec import decode_request, encode_answer, read_json_bytes

SIGNATURE = Signature(
    inputs=(
        TensorSpec(name="x", datatype="FP32", shape=("batch", 2)),
        TensorSpec(name="s", datatype="BYTES", shape=("batch",)),
        TensorSpec(name="flag", datatype="BOOL", shape=("batch",)),
    ),
    outputs=(
        TensorSpec(name="y", datatype="FP32", shape=("batch", 2)),
        TensorSpec(name="t", datatype="BYTES", shape=("batch",)),
    ),
)
X = np.array([[1, np.nan]], np.float32)
OUTPUTS = {"y": X, "t": np.array([b"\xff\x00"], object)}


def body(tail: bytes, *, s: dict[str, Any], **changes: Any) -> tuple[bytes, int]:
    """A request whose `x` is binary and whose `s` is as given; and the size of its JSON."""
    tensors = [
        {"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}},
        {"name": "s", "datatype": "BYTES", "shape": [1]} | s,
        {"name": "flag", "datatype": "BOOL", "shape": [1], "data": [True]},
    ]
    json = orjson.dumps({"inputs": tensors} | changes)
    return json + tail, len(json)


def decode(content: bytes, json_bytes: int | None) -> InferRequest:
    return decode_request(content, json_bytes, (SIGNATURE,), 100)


def encode(asked: InferRequest) -> tuple[dict[str, Any], bytes]:
    content, json_bytes = encode_answer("m", "v", asked, OUTPUTS, SIGNATURE, {})
    assert json_bytes is not None
    return orjson.loads(content[:json_bytes]), content[json_bytes:]


def test_tensors_in_the_json_and_behind_it_mix() -> None:
    """Inputs in the JSON and binary ones mix; binary data follow in the order of their inputs."""
    asked = decode(*body(X.tobytes() + b"\3\0\0\0a\xff\0", s={"parameters": {"binary_data_size": 7}}))
    np.testing.assert_array_equal(asked.arrays["x"], X)
    assert asked.arrays["s"].tolist() == [b"a\xff\0"]
    assert asked.arrays["flag"].tolist() == [True]


@pytest.mark.parametrize(
    ("tail", "s", "message"),
    [
        (bytes(7), {"data": ["a"]}, r"'x' has 7 bytes left.*the JSON, expected 8"),
        (bytes(9), {"data": ["a"]}, r"9 bytes.*the JSON, expected 8"),
        (bytes(8), {"parameters": {"binary_data_size": 0}}, "'s' has 0 BYTES elements .* expected 1"),
        (bytes(11), {"parameters": {"binary_data_size": 3}}, "'s' ends within element 0"),
        (b"\2" + bytes(12), {"parameters": {"binary_data_size": 5}}, r"1 BYTES elements in.*4 of 5 bytes"),
        (bytes(8) + b"\2\0\0\0a", {"parameters": {"binary_data_size": 5}}, "'s' ends within element 0"),
        (bytes(8), {"parameters": {"binary_data_size": -1}}, "'s' has the parameter binary_data_size -1"),
        (bytes(8), {"parameters": {"binary_data_size": True}}, "binary_data_size True"),
        (bytes(8), {"parameters": {"binary_data_size": 0}, "data": ["a"]}, "'s' has both"),
    ],
)
def test_every_byte_is_accounted_for(tail: bytes, s: dict[str, Any], message: str) -> None:
    """Missing or additional bytes are refused with both numbers."""
    with pytest.raises(InvalidRequest, match=message):
        decode(*body(tail, s=s))


def test_a_blob_has_the_size_of_its_shape() -> None:
    """Binary data must have the size of its shape."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 4}}
    json = orjson.dumps({"inputs": [tensor]})
    with pytest.raises(InvalidRequest, match=r"'x' has 4 bytes, expected 8 for FP32 of shape \[1, 2\]"):
        decode(json + bytes(4), len(json))


def test_a_truth_value_is_0_or_1() -> None:
    """A BOOL tensor with bytes other than 0 and 1 is refused."""
    tensor = {"name": "flag", "datatype": "BOOL", "shape": [2], "parameters": {"binary_data_size": 2}}
    json = orjson.dumps({"inputs": [tensor]})
    with pytest.raises(InvalidRequest, match="'flag' has bytes other than 0 and 1"):
        decode(json + b"\1\2", len(json))


def test_bytes_need_the_header_that_says_where_they_begin() -> None:
    """A binary tensor without the header Inference-Header-Content-Length is refused."""
    content, _ = body(b"", s={"data": ["a"]})
    with pytest.raises(InvalidRequest, match="no header Inference-Header-Content-Length"):
        decode(content, None)


def test_the_header_cannot_promise_more_than_came() -> None:
    """A header beyond the size of the body is refused with both sizes."""
    with pytest.raises(InvalidRequest, match=r"is 5, but.*only 2 bytes"):
        decode(b"{}", 5)


@pytest.mark.parametrize("header", ["", "-1", "1.5", "1_0", "\u0661", "9" * 30])
def test_the_header_is_a_number(header: str) -> None:
    """The header Inference-Header-Content-Length accepts decimal digits only."""
    with pytest.raises(InvalidRequest, match="Inference-Header-Content-Length is"):
        read_json_bytes(header)


def test_a_header_that_is_not_there_says_that_all_is_json() -> None:
    """Without the header the whole body is JSON; with it, the header gives the size of the JSON."""
    assert (read_json_bytes(None), read_json_bytes("12")) == (None, 12)


def test_the_answer_is_binary_where_that_was_asked_for() -> None:
    """Outputs are binary where the request asks for it, in the order of the request."""
    wanted = [
        {"name": "t", "parameters": {"binary_data": True}},
        {"name": "y", "parameters": {"binary_data": True}},
    ]
    answer, tail = encode(decode(*body(bytes(8), s={"data": ["a"]}, outputs=wanted)))
    assert answer["outputs"] == [
        {"name": "t", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}},
        {"name": "y", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}},
    ]
    assert tail == b"\2\0\0\0\xff\0" + X.tobytes()


def test_binary_data_output_is_for_all_outputs_that_do_not_say_otherwise() -> None:
    """`binary_data_output` applies to each output that has no setting of its own."""

    def binary(**changes: Any) -> list[bool]:
        asked = decode(*body(bytes(8), s={"data": ["a"]}, parameters={"binary_data_output": True}, **changes))
        return [wanted.binary for wanted in asked.outputs]

    assert binary() == [True, True]
    assert binary(outputs=[{"name": "t", "parameters": {"binary_data": False}}, {"name": "y"}]) == [
        False,
        True,
    ]


def test_a_switch_is_a_boolean() -> None:
    """A string is refused where a boolean is expected."""
    with pytest.raises(InvalidRequest, match="'binary_data_output' is a string, expected a boolean"):
        decode(*body(bytes(8), s={"data": ["a"]}, parameters={"binary_data_output": "true"}))
