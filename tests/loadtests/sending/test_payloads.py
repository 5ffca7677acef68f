import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtests.errors import LoadTestError
from loadtests.sending.model_metadata import ModelMetadata
from loadtests.sending.payloads import (
    InputOptions,
    Payloads,
    make_payloads,
    prepare_payloads,
    read_payloads,
)


def _metadata(*inputs: tuple[str, str, list[int]]) -> ModelMetadata:
    tensors = [{"name": name, "datatype": datatype, "shape": shape} for name, datatype, shape in inputs]
    return ModelMetadata.model_validate({"name": "m", "inputs": tensors, "outputs": []})


def _body(payloads: Payloads, index: int = 0) -> Any:
    return json.loads(payloads.encode(index, binary=False).with_id("0000000007"))


@pytest.mark.parametrize(
    ("datatype", "kind"),
    [("BOOL", bool), ("UINT8", int), ("INT64", int), ("FP32", float), ("FP64", float), ("BYTES", str)],
)
def test_inputs_are_made_for_every_datatype(datatype: str, kind: type) -> None:
    """Name, datatype, shape and elements are what the protocol asks for; a free dimension is 1."""
    body = _body(make_payloads(_metadata(("x", datatype, [-1, 3])), seed=0))
    (tensor,) = body["inputs"]
    assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("x", datatype, [1, 3])
    assert [type(element) for element in tensor["data"]] == [kind] * 3


def test_made_texts_differ_in_length() -> None:
    """64 random texts have 4 to 60 words, and come within nine of both ends."""
    payloads = make_payloads(_metadata(("text", "BYTES", [-1])), seed=0)
    words = [len(str(payloads.arrays(index)["text"][0]).split()) for index in range(payloads.count)]
    assert 4 <= min(words) < 14
    assert 50 < max(words) <= 60


def test_made_inputs_depend_on_seed_and_index() -> None:
    """The same seed and index give the same input, and another seed or index another one."""
    metadata = _metadata(("x", "FP32", [8]))
    first = make_payloads(metadata, seed=0).encode(0, binary=False)
    assert make_payloads(metadata, seed=0).encode(0, binary=False) == first
    assert make_payloads(metadata, seed=1).encode(0, binary=False) != first
    assert make_payloads(metadata, seed=0).encode(1, binary=False) != first


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        ([("x", "STRING", [1])], "input 'x' of m has datatype 'STRING', expected one of BOOL, "),
        ([], "m has no inputs"),
    ],
)
def test_what_cannot_be_made_is_refused(inputs: Any, complaint: str) -> None:
    """A datatype that the protocol does not have is refused before the run."""
    with pytest.raises(LoadTestError, match=complaint):
        make_payloads(_metadata(*inputs), seed=0)


def test_rows_of_a_file_travel_exactly(tmp_path: Path) -> None:
    """Each row of a file is a payload in row-major order, and each FP32 is exact."""
    rows = np.random.default_rng(0).normal(size=(3, 2, 2)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", x=rows)
    payloads = read_payloads(tmp_path / "rows.npz", _metadata(("x", "FP32", [-1, 2, 2])))
    assert payloads.count == 3
    (tensor,) = _body(payloads, 2)["inputs"]
    assert tensor["shape"] == [1, 2, 2]
    assert np.array_equal(np.array(tensor["data"], np.float32), rows[2].ravel())


def _image(limit: int) -> ModelMetadata:
    """Return a model with images of 3 x 64 x 64 as inputs, whose server has this body limit."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [-1, 3, 64, 64]}
    parameters = {"max_body_bytes": limit}
    return ModelMetadata.model_validate(
        {"name": "image", "inputs": [tensor], "outputs": [tensor], "parameters": parameters}
    )


def test_an_image_that_is_too_large_as_json_is_refused_before_it_is_sent() -> None:
    """An image that is too large as JSON is refused; the error gives both sizes and `--binary`."""
    payloads = make_payloads(_image(100_000), 0)
    with pytest.raises(LoadTestError, match=r"has 13\d,\d{3} bytes, .* takes 100,000; add --binary, .* 49,"):
        payloads.encode(0, binary=False)
    assert len(payloads.encode(0, binary=True).rest) < 50_000


def test_an_image_that_is_too_large_at_all_asks_for_another_limit() -> None:
    """An image that is too large in any form is refused; the error names the server's setting."""
    payloads = make_payloads(_image(10_000), 0)
    for binary in (False, True):
        with pytest.raises(LoadTestError, match="start the server with --set max_body_bytes="):
            payloads.encode(0, binary=binary)


def test_made_inputs_have_the_size_that_the_server_names() -> None:
    """Random inputs have the shape of the server's example."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [-1, 3, -1, -1], "example_shape": [1, 3, 48, 192]}
    metadata = ModelMetadata.model_validate({"name": "m", "inputs": [tensor], "outputs": []})
    assert make_payloads(metadata, 0).arrays(0)["x"].shape == (1, 3, 48, 192)


def test_made_numbers_lie_in_the_range_of_their_input() -> None:
    """A range says what an input's numbers are like, ends included; others lie in 0..1."""
    metadata = _metadata(("age", "INT64", [-1, 50]), ("dose", "FP32", [-1, 50]), ("x", "FP32", [-1, 50]))
    options = InputOptions(ranges={"age": (18, 20), "dose": (-5, -4)})
    arrays = prepare_payloads(options, metadata).arrays(0)
    assert set(arrays["age"].ravel().tolist()) == {18, 19, 20}
    assert ((arrays["dose"] >= -5) & (arrays["dose"] <= -4)).all()
    assert ((arrays["x"] >= 0) & (arrays["x"] <= 1)).all()


@pytest.mark.parametrize("options", [{"ranges": {"agee": (0, 1)}}, {"columns": {"agee": ("a",)}}])
def test_an_input_that_there_is_not_is_named(options: Any) -> None:
    """The error suggests the nearest input."""
    with pytest.raises(LoadTestError, match="'agee' is not an input of m; did you mean 'age'"):
        prepare_payloads(InputOptions(**options), _metadata(("age", "FP32", [-1])))
