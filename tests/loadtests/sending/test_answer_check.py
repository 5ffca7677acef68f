import json
from typing import Any

import numpy as np
import pytest

from loadtests.errors import WrongAnswer
from loadtests.sending.answer_check import UNVERSIONED, check_answer
from loadtests.sending.model_metadata import ModelMetadata


def _answer(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "scores", "datatype": "FP32", "shape": [1, 3], "data": [0.5, 1, -2e3]}
    tensor |= changes.pop("tensor", {})
    return {"model_name": "digits", "model_version": "fp32", "id": "7", "outputs": [tensor]} | changes


def _check(metadata: ModelMetadata, body: Any, *, status: int = 200, pinned: str | None = None) -> str:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return check_answer(status, content, json_bytes=None, request_id="7", pinned=pinned, metadata=metadata)


def _check_binary(datatype: str, tail: bytes, **changes: Any) -> str:
    """The check of an answer with one output `scores` of shape [1, 3], in `tail`."""
    spec = {"name": "scores", "datatype": datatype, "shape": [-1, 3]}
    metadata = ModelMetadata.model_validate({"name": "digits", "inputs": [], "outputs": [spec]})
    size = changes.pop("size", len(tail))
    tensor = {"name": "scores", "datatype": datatype, "shape": [1, 3]}
    tensor |= {"parameters": {"binary_data_size": size}} | changes.pop("tensor", {})
    content = json.dumps({"model_name": "digits", "id": "7", "outputs": [tensor]}).encode()
    return check_answer(
        200,
        content + tail,
        json_bytes=changes.pop("json_bytes", str(len(content))),
        request_id="7",
        pinned=None,
        metadata=metadata,
    )


@pytest.mark.parametrize("data", [[0.5, 1, -2e3], [[0.5, 1, -2e3]]], ids=["flat", "nested"])
def test_a_right_answer_names_its_variant(metadata: ModelMetadata, data: list[Any]) -> None:
    """An answer with flat or nested data is accepted, and its variant is returned."""
    assert _check(metadata, _answer(tensor={"data": data}), pinned="fp32") == "fp32"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"<html>", "the body is not JSON"),
        (b"\xff", "the body is not JSON"),
        ([], "not a JSON object"),
        (_answer(model_name="digit"), "model_name is 'digit', expected 'digits'"),
        (_answer(model_version=None), "model_version is None, expected one of: fp32, int8"),
        (_answer(model_version="int8"), "model_version is 'int8', but 'fp32' was pinned"),
        (_answer(id="8"), "the answer's id is not the request's"),
        (_answer(outputs=None), "'outputs' is not a list"),
        (_answer(outputs=[]), r"outputs are \[\], expected \['scores'\]"),
        (_answer(tensor={"datatype": "FP64"}), "datatype 'FP64', expected FP32"),
        (_answer(tensor={"shape": [1, 2]}), r"shape \[1, 2\], expected \[-1, 3\]"),
        (_answer(tensor={"shape": [3]}), r"shape \[3\], expected \[-1, 3\]"),
        (_answer(tensor={"shape": [True, 3]}), "expected a list of whole numbers"),
        (_answer(tensor={"data": [1, 2]}), "has 2 elements, expected 3"),
        (_answer(tensor={"data": [1, 2, None]}), "elements that are not FP32"),
        (_answer(tensor={"data": [1, 2, True]}), "elements that are not FP32"),
        (_answer(tensor={"data": [1, [2], 3]}), "elements that are not FP32"),
        (_answer(tensor={"data": [1, 2, float("nan")]}), "the body holds NaN"),
        (json.dumps(_answer()).replace("0.5", "1e999").encode(), "elements that are not finite"),
        (_answer(tensor={"data": "abc"}), "no list as 'data'"),
    ],
    ids=str,
)
def test_a_wrong_answer_is_told(metadata: ModelMetadata, body: Any, complaint: str) -> None:
    """Each fault of the body of a 200 is an error."""
    with pytest.raises(WrongAnswer, match=complaint):
        _check(metadata, body, pinned="fp32")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": "no such input"}, "no such input"),
        (b"Bad Gateway\n", "Bad Gateway"),
        (b"", "an empty body"),
    ],
)
def test_another_status_is_told_in_the_servers_words(metadata: ModelMetadata, body: Any, said: str) -> None:
    """The error quotes the message of the server, or of a proxy in between."""
    with pytest.raises(WrongAnswer, match=f"^HTTP 503: {said}$"):
        _check(metadata, body, status=503)


def test_without_versions_any_version_is_right(metadata: ModelMetadata) -> None:
    """Without versions in the metadata, an answer needs no `model_version`."""
    plain = metadata.model_copy(update={"versions": ()})
    assert _check(plain, _answer(model_version=None)) == UNVERSIONED
    assert _check(plain, _answer(model_version="3")) == "3"


@pytest.mark.parametrize(
    ("datatype", "tail"),
    [
        ("FP32", np.array([0.5, 1, -2e3], "<f4").tobytes()),
        ("FP16", np.array([0.5, 1, -2e3], "<f2").tobytes()),
        ("BF16", b"\x00\x3f\x80\x3f\xfa\xc4"),
        ("INT64", np.array([1, 2, -3], "<i8").tobytes()),
        ("BOOL", b"\0\1\0"),
        ("BYTES", b"\0\0\0\0\1\0\0\0\xff\2\0\0\0ab"),
    ],
)
def test_a_right_binary_answer_names_its_variant(datatype: str, tail: bytes) -> None:
    """An answer of each datatype in binary form is accepted."""
    assert _check_binary(datatype, tail) == UNVERSIONED


_FLOATS = np.array([0.5, 1, 2], "<f4").tobytes()


@pytest.mark.parametrize(
    ("datatype", "tail", "changes", "complaint"),
    [
        ("FP32", _FLOATS, {"json_bytes": None}, "the body is not JSON"),
        ("FP32", _FLOATS, {"json_bytes": "9999"}, "Length is '9999', expected the JSON's size"),
        ("FP32", _FLOATS, {"json_bytes": "-1"}, "Length is '-1', expected the JSON's size"),
        ("FP32", _FLOATS, {"size": 8}, "has 2 elements, expected 3"),
        ("FP32", _FLOATS, {"size": 16}, "has binary_data_size 16, but only 12 bytes"),
        ("FP32", _FLOATS, {"size": True}, "has binary_data_size True"),
        ("FP32", _FLOATS[:-1], {}, "has 11 bytes, which is not a whole"),
        ("FP32", _FLOATS + b"x", {"size": 12}, "1 bytes follow the outputs"),
        ("FP32", _FLOATS, {"tensor": {"data": [1, 2, 3]}}, "both 'data' and a binary_data_size"),
        ("FP32", np.array([0.5, 1, np.nan], "<f4").tobytes(), {}, "elements that are not finite"),
        ("BF16", b"\x00\x3f\x80\x3f\x80\x7f", {}, "elements that are not finite"),
        ("FP16", b"", {"tensor": {"parameters": {}, "data": [1, 2, 3]}}, "is FP16 in JSON"),
        ("BOOL", b"\0\1\2", {}, "elements that are not BOOL"),
        ("BYTES", b"\0\0\0\0\0\0\0\0", {}, "has 2 elements, expected 3"),
        ("BYTES", b"\0\0\0\0" * 2 + b"\2\0\0\0a", {}, "ends within an element"),
        ("BYTES", b"\0\0\0\0" * 2 + b"\0\0", {}, "ends within an element"),
    ],
    ids=str,
)
def test_a_wrong_binary_answer_is_told(
    datatype: str, tail: bytes, changes: dict[str, Any], complaint: str
) -> None:
    """Each fault of a binary answer is an error."""
    with pytest.raises(WrongAnswer, match=complaint):
        _check_binary(datatype, tail, **changes)


def test_outputs_share_the_bytes_in_their_order() -> None:
    """Each output takes its own bytes from behind those of the outputs before it."""
    outputs = [{"name": name, "datatype": "INT8", "shape": [-1]} for name in ("a", "b")]
    metadata = ModelMetadata.model_validate({"name": "digits", "inputs": [], "outputs": outputs})
    tensors = [
        {"name": "a", "datatype": "INT8", "shape": [2], "parameters": {"binary_data_size": 2}},
        {"name": "b", "datatype": "INT8", "shape": [3], "parameters": {"binary_data_size": 3}},
    ]
    content = json.dumps({"model_name": "digits", "id": "7", "outputs": tensors}).encode()
    size = str(len(content))
    checked = check_answer(
        200, content + b"abcde", json_bytes=size, request_id="7", pinned=None, metadata=metadata
    )
    assert checked == UNVERSIONED
