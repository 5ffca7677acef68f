from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from serve.base.tensor import DATATYPES, Signature, TensorSpec
from serve.oip import grpc_codec, http_codec
from serve.oip.binary import read_binary, write_binary
from serve.oip.elements import read_elements
from serve.oip.inference_pb2 import ModelInferRequest

_SHAPES = npst.array_shapes(min_dims=1, max_dims=3, max_side=4)


def echo(datatype: str, rank: int) -> Signature:
    """The signature of a model that answers its input."""
    shape = ("batch", "rows", "columns")[:rank]
    return Signature(
        inputs=(TensorSpec(name="x", datatype=datatype, shape=shape),),
        outputs=(TensorSpec(name="y", datatype=datatype, shape=shape),),
    )


def elements(datatype: str, *, text: bool) -> st.SearchStrategy[Any]:
    """What may stand in a tensor: in JSON no NaN and no bytes that are no text."""
    if datatype == "BYTES":
        return st.text().map(str.encode) if text else st.binary()
    finite = None if not text else False
    return npst.from_dtype(DATATYPES[datatype], allow_nan=finite, allow_infinity=finite)


def same(came: NDArray[Any], sent: NDArray[Any]) -> bool:
    """Whether two arrays are equal in every bit."""
    if sent.dtype == object:
        return bool(came.tolist() == sent.tolist())
    return (came.dtype, came.shape, came.tobytes()) == (sent.dtype, sent.shape, sent.tobytes())


def over_http(array: NDArray[Any], datatype: str, *, binary: bool) -> NDArray[Any]:
    """Return `array` after a round trip over HTTP through a model that answers its input."""
    signature = echo(datatype, array.ndim)
    tensor: dict[str, Any] = {"name": "x", "datatype": datatype, "shape": array.shape}
    tail = write_binary(array) if binary else b""
    if binary:
        tensor["parameters"] = {"binary_data_size": len(tail)}
    else:
        tensor["data"] = [item.decode() for item in array.flat] if datatype == "BYTES" else array.tolist()
    json = orjson.dumps({"inputs": [tensor], "parameters": {"binary_data_output": binary}})
    size = len(json) if binary else None
    asked = http_codec.decode_request(json + tail, size, (signature,), 1000)
    assert same(asked.arrays["x"], array)
    body, size = http_codec.encode_answer("m", "v", asked, {"y": asked.arrays["x"]}, signature, {})
    output = orjson.loads(body[:size])["outputs"][0]
    if binary:
        return read_binary(body[size:], signature.inputs[0], tuple(output["shape"]))
    return read_elements(output["data"], signature.inputs[0], tuple(output["shape"]))


def over_grpc(array: NDArray[Any], datatype: str) -> NDArray[Any]:
    """Return `array` after a round trip over gRPC through a model that answers its input."""
    signature = echo(datatype, array.ndim)
    request = ModelInferRequest(raw_input_contents=[write_binary(array)])
    request.inputs.add(name="x", datatype=datatype, shape=array.shape)
    asked = grpc_codec.decode_request(
        ModelInferRequest.FromString(request.SerializeToString()), (signature,), 1000
    )
    assert same(asked.arrays["x"], array)
    answer = grpc_codec.encode_answer("m", "v", asked, {"y": asked.arrays["x"]}, signature, {})
    shape = tuple(answer.outputs[0].shape)
    return read_binary(answer.raw_output_contents[0], signature.inputs[0], shape)


@pytest.mark.parametrize("datatype", DATATYPES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_binary_tensor_survives_both_wires(datatype: str, data: st.DataObject) -> None:
    """A binary tensor keeps every bit over HTTP and gRPC, including the payload of NaN."""
    array = data.draw(npst.arrays(DATATYPES[datatype], _SHAPES, elements=elements(datatype, text=False)))
    assert same(over_http(array, datatype, binary=True), array)
    assert same(over_grpc(array, datatype), array)


@pytest.mark.parametrize("datatype", sorted(set(DATATYPES) - {"FP16", "BF16"}))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_tensor_in_json_survives(datatype: str, data: st.DataObject) -> None:
    """A tensor in JSON keeps every bit: floats are written as the shortest decimal that reads back."""
    array = data.draw(npst.arrays(DATATYPES[datatype], _SHAPES, elements=elements(datatype, text=True)))
    assert same(over_http(array, datatype, binary=False), array)
