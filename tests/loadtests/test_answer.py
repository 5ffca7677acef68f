import json
from typing import Any

import pytest

from loadtests.answer import UNVERSIONED, check_answer
from loadtests.errors import WrongAnswer
from loadtests.metadata import ModelMetadata


def _answer(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "scores", "datatype": "FP32", "shape": [1, 3], "data": [0.5, 1, -2e3]}
    tensor |= changes.pop("tensor", {})
    return {"model_name": "digits", "model_version": "fp32", "id": "7", "outputs": [tensor]} | changes


def _check(metadata: ModelMetadata, body: Any, *, status: int = 200, pinned: str | None = None) -> str:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return check_answer(status, content, request_id="7", pinned=pinned, metadata=metadata)


@pytest.mark.parametrize("data", [[0.5, 1, -2e3], [[0.5, 1, -2e3]]], ids=["flat", "nested"])
def test_a_right_answer_names_its_variant(metadata: ModelMetadata, data: list[Any]) -> None:
    """Flat and nested data are both the protocol's."""
    assert _check(metadata, _answer(tensor={"data": data}), pinned="fp32") == "fp32"


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"<html>", "the body is not JSON"),
        (b"\xff", "the body is not JSON"),
        ([], "no JSON object"),
        (_answer(model_name="digit"), "model_name is 'digit', expected 'digits'"),
        (_answer(model_version=None), "model_version is None, expected one of: fp32, int8"),
        (_answer(model_version="int8"), "model_version is 'int8', but 'fp32' was pinned"),
        (_answer(id="8"), "the answer's id is not the request's"),
        (_answer(outputs=None), "'outputs' is no list of tensors"),
        (_answer(outputs=[]), r"outputs are \[\], expected \['scores'\]"),
        (_answer(tensor={"datatype": "FP64"}), "datatype 'FP64', expected FP32"),
        (_answer(tensor={"shape": [1, 2]}), r"shape \[1, 2\], expected \[-1, 3\]"),
        (_answer(tensor={"shape": [3]}), r"shape \[3\], expected \[-1, 3\]"),
        (_answer(tensor={"shape": [True, 3]}), "expected a list of whole numbers"),
        (_answer(tensor={"data": [1, 2]}), "has 2 elements, expected 3"),
        (_answer(tensor={"data": [1, 2, None]}), "elements that are no FP32"),
        (_answer(tensor={"data": [1, 2, True]}), "elements that are no FP32"),
        (_answer(tensor={"data": [1, [2], 3]}), "elements that are no FP32"),
        (_answer(tensor={"data": [1, 2, float("nan")]}), "the body holds NaN"),
        (json.dumps(_answer()).replace("0.5", "1e999").encode(), "elements that are not finite"),
        (_answer(tensor={"data": "abc"}), "no list as 'data'"),
    ],
    ids=str,
)
def test_a_wrong_answer_is_told(metadata: ModelMetadata, body: Any, complaint: str) -> None:
    """A status of 200 alone is no success: each fault of the body is an error."""
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
    """Whoever answers in between is quoted too."""
    with pytest.raises(WrongAnswer, match=f"^HTTP 503: {said}$"):
        _check(metadata, body, status=503)


def test_without_versions_any_version_is_right(metadata: ModelMetadata) -> None:
    """A server that tells its variants not apart may leave `model_version` out."""
    plain = metadata.model_copy(update={"versions": ()})
    assert _check(plain, _answer(model_version=None)) == UNVERSIONED
    assert _check(plain, _answer(model_version="3")) == "3"
