import json

import numpy as np
import pytest

from loadtests.peers.body_form import PROTOCOL, ROW, ROWS, BodyForm

ARRAYS = {"image": np.array([[[0.1, 2.0]]], np.float32), "ids": np.array([[7]])}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (
            PROTOCOL,
            {
                "id": "bench",
                "inputs": [
                    {"name": "image", "shape": [1, 1, 2], "datatype": "FP32", "data": [0.1, 2.0]},
                    {"name": "ids", "shape": [1, 1], "datatype": "INT64", "data": [7]},
                ],
            },
        ),
        (ROW, {"image": [[0.1, 2.0]], "ids": [7]}),
        (ROWS, {"rows": [{"image": [[0.1, 2.0]], "ids": [7]}]}),
    ],
    ids=["protocol", "row", "rows"],
)
def test_one_request_is_said_in_every_form(form: BodyForm, expected: object) -> None:
    """A request in each form has the same numbers, floats in their shortest text."""
    assert json.loads(form.encode(ARRAYS)) == expected


@pytest.mark.parametrize(
    ("form", "body", "variant"),
    [
        (
            PROTOCOL,
            {"model_version": "fp32", "outputs": [{"name": "y", "shape": [1, 2], "data": [1, 2.5]}]},
            "fp32",
        ),
        (ROW, {"y": [1, 2.5]}, None),
        (ROWS, [{"y": [1, 2.5]}], None),
    ],
    ids=["protocol", "row", "rows"],
)
def test_one_answer_is_read_in_every_form(form: BodyForm, body: object, variant: str | None) -> None:
    """An answer in any form is decoded into arrays of one row."""
    answer = form.decode(json.dumps(body).encode())
    assert answer.variant == variant
    assert np.array_equal(answer.outputs["y"], [[1, 2.5]])
