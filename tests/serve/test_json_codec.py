from typing import Any

import numpy as np
import orjson
import pytest

from serve.errors import InvalidRequest, ModelFailed
from serve.oip.json_codec import InferRequest, decode_request, encode_response
from serve.tensor import Signature, TensorSpec

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
    return decode_request(body if isinstance(body, bytes) else orjson.dumps(body), SIGNATURE)


def test_flat_and_nested_data_are_the_same_tensor() -> None:
    """The protocol allows both, row-major."""
    nested = np.arange(12).reshape(2, 2, 3).tolist()
    flat, deep = decode(request()).arrays["x"], decode(request(x={"data": nested})).arrays["x"]
    np.testing.assert_array_equal(flat, deep)
    assert flat.dtype == np.float32
    assert flat.shape == (2, 2, 3)


def test_keys_it_does_not_know_are_ignored() -> None:
    """Stock clients add fields of their own."""
    assert decode(request() | {"model_name": "digits", "parameters": {"priority": 1}}).id == "7"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"),
        (b'{"inputs": [NaN]}', "not JSON"),
        ([], "the body is a list"),
        ({}, "'inputs' is null or missing"),
        (request() | {"id": 7}, "'id' is a whole number"),
        ({"inputs": [5]}, "an input is a whole number without a 'name'"),
        ({"inputs": request()["inputs"][:1]}, "input 'n' is missing"),
        ({"inputs": request()["inputs"][:1] * 2}, "input 'x' came twice"),
        (request(x={"name": "X"}), "input 'X' is not of this model; .*'?x'?"),
        (request(x={"datatype": "FP64"}), "'x' has datatype 'FP64', expected FP32"),
        (request(x={"shape": None}), "'x' has shape None"),
        (request(x={"shape": [2, True, 3]}), "expected a list of whole numbers"),
        (request(x={"shape": [0, 2, 3], "data": []}), "whole numbers from 1 up"),
        (request(x={"shape": [12]}), r"rank 1, expected rank 3: \[-1, 2, 3\]"),
        (request(x={"shape": [2, 3, 2]}), r"shape \[2, 3, 2\], expected \[-1, 2, 3\]"),
        (
            request(n={"shape": [3], "data": [1, 2, 3]}),
            "'n' has 3 as its dimension 'batch', expected 2 as in .*'x'",
        ),
        (request(x={"data": "abc"}), "'x' has a string as 'data'"),
        (request(x={"data": [1, 2]}), "'x' has 2 elements, expected 12"),
        (request(x={"data": [[[1, 2, 3], [4, 5, 6]]]}), "1 rows of data"),
        (request(x={"data": [[[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [4, 5]]]}), "not nested as its shape"),
        (request(x={"data": [[1, 2, 3], [4, 5, 6]]}), "not nested as its shape"),
        (request(x={"data": [*range(11), "1"]}), "'x' has a string in 'data', expected FP32"),
        (request(x={"data": [*range(11), None]}), "null or missing in 'data'"),
        (request(x={"data": [*range(11), True]}), "a boolean in 'data'"),
        (request(x={"data": [*range(11), 1e39]}), "beyond FP32, expected finite"),
        (request(n={"data": [1.5, 1]}), "'n' has a fraction in 'data', expected INT8"),
        (request(n={"data": [1, 128]}), "'n' has elements from 1 to 128, which INT8 cannot hold"),
        (request(flag={"data": [1, 0]}), "'flag' has a whole number in 'data', expected BOOL"),
        (request() | {"outputs": "y"}, "'outputs' is a string"),
        (
            request() | {"outputs": [{"name": "z"}]},
            "'outputs' asks for 'z', expected names of outputs: y, top",
        ),
    ],
)
def test_refuses_what_does_not_fit_the_signature(body: Any, message: str) -> None:
    """The message says which tensor, what came, and what was expected."""
    with pytest.raises(InvalidRequest, match=message):
        decode(body)


def test_one_long_string_among_many_numbers_costs_no_memory() -> None:
    """A list with one long string is refused before numpy would widen every element to its length."""
    body = request(x={"shape": [1, 2, 3], "data": [0, 0, 0, 0, 0, "a" * 1_000_000]})
    with pytest.raises(InvalidRequest, match="a string in 'data'"):
        decode(body)


def test_answers_the_outputs_that_were_asked_for() -> None:
    """`outputs` selects, and the id comes back."""
    asked = decode(request() | {"outputs": [{"name": "top"}]})
    outputs = {"y": np.zeros((2, 2), np.float32), "top": np.array([1, 0])}
    answer = orjson.loads(encode_response("digits", "int8", asked, outputs, SIGNATURE))
    assert answer == {
        "model_name": "digits",
        "model_version": "int8",
        "id": "7",
        "outputs": [{"name": "top", "datatype": "INT64", "shape": [2], "data": [1, 0]}],
    }


def test_floats_survive_the_wire() -> None:
    """What is read back is the very float32 that the model gave."""
    asked = decode({"inputs": request()["inputs"]})
    values = np.random.default_rng(1).normal(size=(2, 2)).astype(np.float32)[:, ::-1]
    answer = orjson.loads(
        encode_response("digits", "int8", asked, {"y": values, "top": np.array([1, 0])}, SIGNATURE)
    )
    assert "id" not in answer
    np.testing.assert_array_equal(np.array(answer["outputs"][0]["data"], np.float32).reshape(2, 2), values)


def test_an_answer_with_nan_is_an_error() -> None:
    """JSON has no NaN: a null in its place would be a wrong answer."""
    outputs = {"y": np.full((2, 2), np.nan, np.float32), "top": np.array([1, 0])}
    with pytest.raises(ModelFailed, match="digits/int8 answered NaN or infinity in 'y'"):
        encode_response("digits", "int8", decode(request()), outputs, SIGNATURE)
