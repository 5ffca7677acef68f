import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtests.errors import LoadTestError
from loadtests.metadata import ModelMetadata
from loadtests.payloads import Payloads, make_payloads, read_payloads, with_id


def _metadata(*inputs: tuple[str, str, list[int]]) -> ModelMetadata:
    tensors = [{"name": name, "datatype": datatype, "shape": shape} for name, datatype, shape in inputs]
    return ModelMetadata.model_validate({"name": "m", "inputs": tensors, "outputs": []})


def _body(payloads: Payloads, index: int = 0) -> Any:
    return json.loads(with_id(payloads.encode(index), "7"))


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


def test_the_body_carries_the_id() -> None:
    """The id is added without encoding the inputs again."""
    assert _body(make_payloads(_metadata(("x", "FP32", [2])), seed=0))["id"] == "7"


def test_made_inputs_depend_on_seed_and_index() -> None:
    """The same seed and index give the same input, others another."""
    metadata = _metadata(("x", "FP32", [8]))
    first = make_payloads(metadata, seed=0).encode(0)
    assert make_payloads(metadata, seed=0).encode(0) == first
    assert make_payloads(metadata, seed=1).encode(0) != first
    assert make_payloads(metadata, seed=0).encode(1) != first


def test_what_json_cannot_carry_is_refused() -> None:
    """FP16 has no JSON form in the protocol."""
    with pytest.raises(LoadTestError, match="input 'x' has datatype 'FP16', which JSON cannot carry"):
        make_payloads(_metadata(("x", "FP16", [1])), seed=0)


def test_rows_of_a_file_travel_exactly(tmp_path: Path) -> None:
    """Each payload is one row, flat and row-major, and every FP32 arrives as it was."""
    rows = np.random.default_rng(0).normal(size=(3, 2, 2)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", x=rows)
    payloads = read_payloads(tmp_path / "rows.npz", _metadata(("x", "FP32", [-1, 2, 2])))
    assert payloads.count == 3
    (tensor,) = _body(payloads, 2)["inputs"]
    assert tensor["shape"] == [1, 2, 2]
    assert np.array_equal(np.array(tensor["data"], np.float32), rows[2].ravel())


def test_whole_numbers_convert_to_the_models_floats(tmp_path: Path) -> None:
    """Pixels saved as bytes fit a model of floats."""
    np.savez(tmp_path / "rows.npz", x=np.array([[0, 255]], np.uint8))
    payloads = read_payloads(tmp_path / "rows.npz", _metadata(("x", "FP32", [-1, 2])))
    assert _body(payloads)["inputs"][0]["data"] == [0.0, 255.0]


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"y": np.zeros((1, 2))}, "holds 'y', which is no input of m; known: ids, x"),
        ({"x": np.zeros((1, 2))}, "holds no 'ids'"),
        (
            {"x": np.zeros((1, 3)), "ids": np.zeros((1, 1), int)},
            r"'x' has shape \[1, 3\], expected rows of \[-1, 2\]",
        ),
        ({"x": np.zeros(2), "ids": np.zeros((1, 1), int)}, r"'x' has shape \[2\], expected rows of"),
        (
            {"x": np.zeros((1, 2)), "ids": np.zeros((1, 1))},
            "'ids' has type float64, which does not convert to INT32",
        ),
        (
            {"x": np.full((1, 2), np.nan), "ids": np.zeros((1, 1), int)},
            "'x' has elements that are not finite",
        ),
        ({"x": np.full((1, 2), 1e300), "ids": np.zeros((1, 1), int)}, "'x' has elements that are not finite"),
        ({"x": np.zeros((1, 2)), "ids": np.full((1, 1), 2**40)}, "'ids' has elements that INT32 cannot hold"),
        ({"x": np.zeros((2, 2)), "ids": np.zeros((1, 1), int)}, "expected the same number, at least 1"),
        ({"x": np.zeros((0, 2)), "ids": np.zeros((0, 1), int)}, "expected the same number, at least 1"),
        ({"x": np.array([[{}, {}]]), "ids": np.zeros((1, 1), int)}, "is no .npz file of plain arrays"),
    ],
    ids=str,
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, arrays: dict[str, Any], complaint: str) -> None:
    """The message says which array, what came and what was expected."""
    np.savez(tmp_path / "rows.npz", **arrays)
    with pytest.raises(LoadTestError, match=complaint):
        read_payloads(tmp_path / "rows.npz", _metadata(("x", "FP32", [-1, 2]), ("ids", "INT32", [-1, 1])))


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04broken"], ids=str)
def test_what_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file of another kind ends in one clear sentence."""
    (tmp_path / "rows.npz").write_bytes(content)
    with pytest.raises(LoadTestError, match=r"is no \.npz file of plain arrays: "):
        read_payloads(tmp_path / "rows.npz", _metadata(("x", "FP32", [-1])))


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    """An .npy file holds no names."""
    np.save(tmp_path / "rows.npy", np.zeros(3))
    with pytest.raises(LoadTestError, match=r"is no \.npz file of plain arrays: "):
        read_payloads(tmp_path / "rows.npy", _metadata(("x", "FP32", [-1])))
