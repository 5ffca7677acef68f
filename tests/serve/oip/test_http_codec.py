from typing import Any

import numpy as np
import orjson
import pytest

from serve.base.errors import InvalidRequest, ModelFailed, RequestTooLarge
from serve.base.tensor import Arrays, Signature, TensorSpec
from serve.engine.request import InferRequest
from serve.oip.http_codec import decode_request, encode_answer

SIGNATURE = Signature(
    inputs=(
        TensorSpec(name="x", datatype="FP32", shape=("batch", 2, 3)),
        TensorSpec(name="n", datatype="INT8", shape=("batch",)),
        TensorSpec(name="flag", datatype="BOOL", shape=("batch", 1)),
    ),
    outputs=(
        TensorSpec(name="y", datatype="FP32", shape=("batch", 2)),
        TensorSpec(name="top", datatype="INT64", shape=("batch",)),
    ),
)


def request(**changes: Any) -> dict[str, Any]:
    """A valid request of two rows; `x=..., n=...` changes fields of that input."""
    tensors = {
        "x": {"name": "x", "datatype": "FP32", "shape": [2, 2, 3], "data": list(range(12))},
        "n": {"name": "n", "datatype": "INT8", "shape": [2], "data": [1, -1]},
        "flag": {"name": "flag", "datatype": "BOOL", "shape": [2, 1], "data": [True, False]},
    }
    for name, change in changes.items():
        tensors[name] |= change
    return {"id": "7", "inputs": list(tensors.values())}


def decode(body: Any) -> InferRequest:
    return decode_request(body if isinstance(body, bytes) else orjson.dumps(body), None, (SIGNATURE,), 100)


def encode(asked: InferRequest, outputs: Arrays, **parameters: int) -> dict[str, Any]:
    body, json_bytes = encode_answer("digits", "int8", asked, outputs, SIGNATURE, parameters)
    assert json_bytes is None
    answer: dict[str, Any] = orjson.loads(body)
    return answer


def test_flat_and_nested_data_are_the_same_tensor() -> None:
    """Flat and nested data give the same tensor."""
    nested = np.arange(12).reshape(2, 2, 3).tolist()
    flat, deep = decode(request()).arrays["x"], decode(request(x={"data": nested})).arrays["x"]
    np.testing.assert_array_equal(flat, deep)
    assert flat.dtype == np.float32
    assert flat.shape == (2, 2, 3)


def test_keys_it_does_not_know_are_ignored() -> None:
    """Unknown keys of a request are ignored."""
    assert decode(request() | {"model_name": "digits", "parameters": {"priority": 1}}).id == "7"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"),
        (b'{"inputs": [NaN]}', "not JSON"),
        ([], "the body is a list"),
        ({}, "'inputs' is null or missing"),
        (request() | {"id": 7}, "'id' is a whole number"),
        ({"inputs": [5]}, "an input is a whole number, expected an object with a 'name'"),
        ({"inputs": [{}]}, "an input has null or missing as its 'name'"),
        ({"inputs": request()["inputs"][:1]}, "input 'n' is missing"),
        ({"inputs": request()["inputs"][:1] * 2}, "input 'x'"),
        (request(x={"name": "X"}), "input 'X'"),
        (request(x={"name": "X" * 10**6}), r"'X{77}\.\.\.'"),
        (request(x={"datatype": "FP64"}), "'x' has datatype 'FP64', expected FP32"),
        (request(x={"shape": None}), "'x' has shape None"),
        (request(x={"shape": [2, True, 3]}), "expected a list of whole numbers"),
        (request(x={"shape": [0, 2, 3], "data": []}), "whole numbers from 1 up;"),
        (request(x={"shape": [12]}), r"rank 1, expected rank 3: \[-1, 2, 3\]"),
        (request(x={"shape": [2, 3, 2]}), r"shape \[2, 3, 2\], expected \[-1, 2, 3\]"),
        (
            request(n={"shape": [3], "data": [1, 2, 3]}),
            "'n' has 3 as its dimension 'batch', expected 2 as in .*'x'",
        ),
        (request(x={"data": "abc"}), "'x' has a string as 'data'"),
        (request(x={"data": [1, 2]}), "'x' has 2 elements, expected 12"),
        (request(x={"data": [[[1, 2, 3], [4, 5, 6]]]}), "1 rows of data"),
        (request(x={"data": [[[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [4, 5]]]}), "'x'"),
        (request(x={"data": [[1, 2, 3], [4, 5, 6]]}), "'x'"),
        (request(x={"data": [*range(11), "1"]}), "'x' has a string in 'data', expected FP32"),
        (request(x={"data": [*range(11), None]}), "null or missing in 'data'"),
        (request(x={"data": [*range(11), True]}), "a boolean in 'data'"),
        (request(x={"data": [*range(11), 1e39]}), r"elements from 0 to.*FP32"),
        (request(n={"data": [1.5, 1]}), "'n' has a fraction in 'data', expected INT8"),
        (request(n={"data": [1, 128]}), r"'n' has elements from 1 to 128, which.*INT8"),
        (request(flag={"data": [1, 0]}), "'flag' has a whole number in 'data', expected BOOL"),
        (request() | {"outputs": "y"}, "'outputs' is a string"),
        (request() | {"outputs": ["y"]}, "'outputs' has a string in it, expected objects with a 'name'"),
        (
            request() | {"outputs": [{"name": "z"}]},
            r"'outputs'.*'z', expected names of outputs: y, top",
        ),
        (request() | {"outputs": [{"name": "y"}, {"name": "y"}]}, "'y' twice, expected once"),
        (request() | {"outputs": [{"name": "y", "parameters": 1}]}, "'y' has a whole number as 'parameters'"),
        (request(x={"parameters": []}), "tensor 'x' has a list as 'parameters', expected an object"),
        (
            request(x={"parameters": {"shared_memory_region": "r"}}),
            "tensor 'x' names a region of shared memory",
        ),
        (
            request() | {"outputs": [{"name": "y", "parameters": {"shared_memory_region": "r"}}]},
            "tensor 'y' names a region of shared memory",
        ),
        (request() | {"parameters": 1}, "'parameters' is a whole number"),
    ],
)
def test_refuses_what_does_not_fit_the_signature(body: Any, message: str) -> None:
    """The error names the tensor, the value and the expected one."""
    with pytest.raises(InvalidRequest, match=message):
        decode(body)


def test_one_long_string_among_many_numbers_costs_no_memory() -> None:
    """A string among numbers is refused before numpy widens each element to its length."""
    body = request(x={"shape": [1, 2, 3], "data": [0, 0, 0, 0, 0, "a" * 1_000_000]})
    with pytest.raises(InvalidRequest, match="a string in 'data'"):
        decode(body)


def test_too_many_elements_are_refused_by_their_shape() -> None:
    """The limit counts the elements of all inputs together by their shapes."""
    body = request(x={"shape": [17, 2, 3]}, n={"shape": [17]})
    with pytest.raises(InvalidRequest, match="'x' has 12 elements, expected 102"):
        decode_request(orjson.dumps(body), None, (SIGNATURE,), 102)
    with pytest.raises(RequestTooLarge, match=r"up to 'x' have 102 elements,.*at most 100 are"):
        decode(body)
    with pytest.raises(RequestTooLarge, match=r"up to 'n' have 14 elements,.*at most 13 are"):
        decode_request(orjson.dumps(request()), None, (SIGNATURE,), 13)


def test_the_first_input_says_which_form_the_request_has() -> None:
    """The first input decides whether a request has texts or the graph's own tensors."""
    text = TensorSpec(name="text", datatype="BYTES", shape=("batch",))
    forms = (Signature(inputs=(text,), outputs=SIGNATURE.outputs), SIGNATURE)

    def names(inputs: list[dict[str, Any]]) -> list[str]:
        return list(decode_request(orjson.dumps({"inputs": inputs}), None, forms, 100).arrays)

    strings = {"name": "text", "datatype": "BYTES", "shape": [2], "data": ["a", "é"]}
    assert names([strings]) == ["text"]
    assert names(request()["inputs"]) == ["x", "n", "flag"]
    with pytest.raises(InvalidRequest, match="'test'"):
        names([strings | {"name": "test"}])


def test_strings_are_utf_8() -> None:
    """BYTES in JSON are text, and the array has their UTF-8 bytes."""
    text = TensorSpec(name="text", datatype="BYTES", shape=("batch", 2))
    form = Signature(inputs=(text,), outputs=SIGNATURE.outputs)
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1, 2], "data": [["", "né"]]}
    array = decode_request(orjson.dumps({"inputs": [tensor]}), None, (form,), 100).arrays["text"]
    assert array.dtype == object
    assert array.tolist() == [[b"", b"n\xc3\xa9"]]


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_half_floats_are_not_for_json(datatype: str) -> None:
    """FP16 and BF16 are refused in JSON in both directions, and the error suggests binary."""
    half = TensorSpec(name="h", datatype=datatype, shape=("batch",))
    tensor = {"name": "h", "datatype": datatype, "shape": [1], "data": [1.0]}
    form = Signature(inputs=(half,), outputs=SIGNATURE.outputs)
    with pytest.raises(InvalidRequest, match=f"input 'h' is {datatype}.*binary"):
        decode_request(orjson.dumps({"inputs": [tensor]}), None, (form,), 100)
    answering = Signature(inputs=SIGNATURE.inputs, outputs=(half,))
    with pytest.raises(InvalidRequest, match=f"output 'h' is {datatype}.*binary"):
        decode_request(orjson.dumps(request()), None, (answering,), 100)


def test_answers_the_outputs_that_were_asked_for() -> None:
    """The answer has the requested outputs, the id and the parameters."""
    asked = decode(request() | {"outputs": [{"name": "top"}]})
    outputs = {"y": np.zeros((2, 2), np.float32), "top": np.array([1, 0])}
    assert encode(asked, outputs, retried=1) == {
        "model_name": "digits",
        "model_version": "int8",
        "id": "7",
        "parameters": {"retried": 1},
        "outputs": [{"name": "top", "datatype": "INT64", "shape": [2], "data": [1, 0]}],
    }


def test_floats_survive_the_wire() -> None:
    """Floats in a JSON answer are read back as the same float32."""
    asked = decode({"inputs": request()["inputs"]})
    values = np.random.default_rng(1).normal(size=(2, 2)).astype(np.float32)[:, ::-1]
    answer = encode(asked, {"y": values, "top": np.array([1, 0])})
    assert "id" not in answer
    np.testing.assert_array_equal(np.array(answer["outputs"][0]["data"], np.float32).reshape(2, 2), values)


def test_an_answer_with_nan_is_an_error() -> None:
    """NaN or infinity in a JSON answer raises ModelFailed."""
    outputs = {"y": np.full((2, 2), np.nan, np.float32), "top": np.array([1, 0])}
    with pytest.raises(ModelFailed, match="digits/int8 answered NaN or infinity in 'y'"):
        encode(decode(request()), outputs)


def test_an_answer_that_is_no_text_is_to_be_asked_for_binary() -> None:
    """A BYTES output that is not UTF-8 is refused in JSON, and the error suggests binary."""
    spec = TensorSpec(name="s", datatype="BYTES", shape=("batch",))
    signature = Signature(inputs=SIGNATURE.inputs, outputs=(spec,))
    asked = decode_request(orjson.dumps(request()), None, (signature,), 100)
    with pytest.raises(InvalidRequest, match=r"in 's'.*binary_data"):
        encode_answer("m", "v", asked, {"s": np.array([b"\xff"], object)}, signature, {})
