from typing import Any

import numpy as np
import pytest

from serve.base.errors import InvalidRequest, RequestTooLarge
from serve.base.tensor import DATATYPES, Signature, TensorSpec
from serve.engine.request import InferRequest
from serve.oip.grpc_codec import decode_request, encode_answer
from serve.oip.inference_pb2 import ModelInferRequest

Y = TensorSpec(name="y", datatype="FP32", shape=("batch", 2))
X = np.array([[1, 2]], np.float32)


def decode(request: ModelInferRequest, datatype: str = "FP32") -> InferRequest:
    x = TensorSpec(name="x", datatype=datatype, shape=("batch", 2))
    return decode_request(request, (Signature(inputs=(x,), outputs=(Y,)),), 100)


def typed(datatype: str = "FP32", **contents: Any) -> ModelInferRequest:
    """A request with one input of one row, in typed contents."""
    request = ModelInferRequest(id="7")
    request.inputs.add(name="x", datatype=datatype, shape=[1, 2], contents=contents)
    return request


def raw(*blobs: bytes, **contents: Any) -> ModelInferRequest:
    """The same with raw contents."""
    request = typed(**contents)
    request.raw_input_contents.extend(blobs)
    return request


@pytest.mark.parametrize(
    ("datatype", "field", "elements"),
    [
        ("BOOL", "bool_contents", [True, False]),
        ("UINT8", "uint_contents", [0, 255]),
        ("UINT16", "uint_contents", [0, 65535]),
        ("UINT32", "uint_contents", [0, 2**32 - 1]),
        ("UINT64", "uint64_contents", [0, 2**64 - 1]),
        ("INT8", "int_contents", [-128, 127]),
        ("INT16", "int_contents", [-32768, 32767]),
        ("INT32", "int_contents", [-(2**31), 2**31 - 1]),
        ("INT64", "int64_contents", [-(2**63), 2**63 - 1]),
        ("FP32", "fp32_contents", [1.5, -2.5]),
        ("FP64", "fp64_contents", [0.1, -1e300]),
        ("BYTES", "bytes_contents", [b"", b"\xff\0"]),
    ],
)
def test_each_datatype_has_its_typed_contents(datatype: str, field: str, elements: list[Any]) -> None:
    """Each datatype is decoded from its typed field of the message."""
    array = decode(typed(datatype, **{field: elements}), datatype).arrays["x"]
    assert (array.dtype, array.shape) == (DATATYPES[datatype], (1, 2))
    assert array.ravel().tolist() == elements


def test_raw_contents_are_the_tensors_bytes() -> None:
    """Raw contents are decoded as the tensor's bytes, as Triton's client sends them."""
    asked = decode(raw(X.tobytes()))
    np.testing.assert_array_equal(asked.arrays["x"], X)
    assert asked.id == "7"


@pytest.mark.parametrize(
    ("request_", "datatype", "message"),
    [
        (typed(), "FP32", "'x' has 0 elements in fp32_contents, expected 2"),
        (typed(fp64_contents=[1, 2]), "FP32", "'x' has 0 elements in fp32_contents, expected 2"),
        (typed("INT8", int_contents=[1, 128]), "INT8", r"from 1 to 128, which.*INT8"),
        (typed("FP16", fp32_contents=[1, 2]), "FP16", "is FP16, which"),
        (raw(bytes(8), fp32_contents=[1, 2]), "FP32", "raw_input_contents"),
        (raw(bytes(8), bytes(8)), "FP32", r"2 raw_input_contents.*for 1 inputs"),
        (raw(bytes(7)), "FP32", "'x' has 7 bytes, expected 8"),
        (ModelInferRequest(), "FP32", "input 'x' is missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refuses_what_does_not_fit(request_: ModelInferRequest, datatype: str, message: str) -> None:
    """The error names the tensor, the value and the expected one."""
    with pytest.raises(InvalidRequest, match=message):
        decode(request_, datatype)


def test_shared_memory_is_refused_by_its_name() -> None:
    """An input in shared memory is refused with an error that says so."""
    request = typed()
    request.inputs[0].parameters["shared_memory_region"].string_param = "r"
    with pytest.raises(InvalidRequest, match="'x' names a region of shared memory"):
        decode(request)


def test_the_limit_on_elements_holds() -> None:
    """A shape with too many elements is refused before its data are read."""
    request = typed()
    request.inputs[0].shape[:] = [2**62, 2]
    with pytest.raises(RequestTooLarge, match="at most 100"):
        decode(request)


def test_parameters_are_those_of_http() -> None:
    """Parameters of any message field are checked as those of HTTP are."""
    request = raw(X.tobytes())
    request.parameters["priority"].uint64_param = 1
    request.parameters["timeout"].int64_param = 1500
    request.parameters["mine"].double_param = 0.5
    assert decode(request).timeout_s == 0.0015
    request.parameters["sequence_id"].string_param = "a"
    with pytest.raises(InvalidRequest, match="'sequence_id' is 'a'"):
        decode(request)


def test_a_parameter_without_a_value_is_refused() -> None:
    """A parameter without a value is refused."""
    request = raw(X.tobytes())
    request.parameters["mine"].SetInParent()
    with pytest.raises(InvalidRequest, match="'mine' is null or missing"):
        decode(request)


def test_the_answer_is_raw_and_says_who_gave_it() -> None:
    """The answer is raw, names its variant, and has each parameter in the field of its type."""
    asked = decode(raw(X.tobytes()))
    parameters: dict[str, bool | int | float | str] = {
        "retried": True,
        "rows": 3,
        "share": 0.5,
        "rescued_from": "int8",
    }
    answer = encode_answer("m", "fp32", asked, {"y": X}, Signature(inputs=(Y,), outputs=(Y,)), parameters)
    assert (answer.model_name, answer.model_version, answer.id) == ("m", "fp32", "7")
    assert [(out.name, out.datatype, list(out.shape)) for out in answer.outputs] == [("y", "FP32", [1, 2])]
    assert list(answer.raw_output_contents) == [X.tobytes()]
    assert {name: value.WhichOneof("parameter_choice") for name, value in answer.parameters.items()} == {
        "retried": "bool_param",
        "rows": "int64_param",
        "share": "double_param",
        "rescued_from": "string_param",
    }


def test_outputs_are_selected_and_classified() -> None:
    """Outputs may be selected and classified as over HTTP, and unknown names are refused."""
    request = raw(X.tobytes())
    request.outputs.add(name="y").parameters["classification"].int64_param = 1
    signature = Signature(inputs=(Y,), outputs=(Y,))
    answer = encode_answer("m", "v", decode(request), {"y": X}, signature, {}, ("a", "b"))
    assert answer.outputs[0].datatype == "BYTES"
    assert answer.raw_output_contents[0] == b"\x0c\0\0\0" + b"2.000000:1:b"
    request.outputs.add(name="z")
    with pytest.raises(InvalidRequest, match="'z'"):
        decode(request)
