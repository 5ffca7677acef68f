import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from loadtests.errors import LoadTestError
from loadtests.sending.input_rows import read_rows
from loadtests.sending.model_metadata import ModelMetadata


def _metadata(*inputs: tuple[str, str, list[int]]) -> ModelMetadata:
    tensors = [{"name": name, "datatype": datatype, "shape": shape} for name, datatype, shape in inputs]
    return ModelMetadata.model_validate({"name": "m", "inputs": tensors, "outputs": []})


def test_whole_numbers_convert_to_the_models_floats(tmp_path: Path) -> None:
    """Integers in a file are converted to the model's FP32."""
    np.savez(tmp_path / "rows.npz", x=np.array([[0, 255]], np.uint8))
    rows = read_rows(tmp_path / "rows.npz", _metadata(("x", "FP32", [-1, 2])), {})
    assert rows["x"].dtype == np.float32
    assert rows["x"].tolist() == [[0.0, 255.0]]


@pytest.mark.parametrize(("shape", "came"), [([-1], (2,)), ([-1, 1], (2, 1)), ([1, -1], (2, 1))])
def test_lines_are_texts(tmp_path: Path, shape: list[int], came: tuple[int, ...]) -> None:
    """Each line of a text file is a row; a byte order mark and line ends are removed."""
    (tmp_path / "texts.txt").write_bytes("\ufeffeins\r\nzwei, drei\u2028vier\n".encode())
    rows = read_rows(tmp_path / "texts.txt", _metadata(("text", "BYTES", shape)), {})
    assert rows["text"].shape == came
    assert rows["text"].ravel().tolist() == ["eins", "zwei, drei\u2028vier"]


@pytest.mark.parametrize(
    ("content", "inputs", "complaint"),
    [
        (b"a\n\nb\n", [("text", "BYTES", [-1])], "line 2 is empty, expected a text on every line"),
        (b"", [("text", "BYTES", [-1])], "line 1 is empty"),
        (b"\xff", [("text", "BYTES", [-1])], "is not a UTF-8 text file"),
        (b"a\n", [("text", "BYTES", [-1, 2])], r"has shape \[1, 1\], expected rows of \[-1, 2\]"),
        (b"a\n", [("x", "FP32", [-1])], "holds texts, but m takes x of FP32, expected one input of BYTES"),
        (b"a\n", [("a", "BYTES", [-1]), ("b", "BYTES", [-1])], "m takes a of BYTES, b of BYTES, expected"),
    ],
    ids=str,
)
def test_texts_that_do_not_fit_are_refused(
    tmp_path: Path, content: bytes, inputs: Any, complaint: str
) -> None:
    """The message names the line, or what the model takes instead."""
    (tmp_path / "texts.txt").write_bytes(content)
    with pytest.raises(LoadTestError, match=complaint):
        read_rows(tmp_path / "texts.txt", _metadata(*inputs), {})


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """A missing .npz or .txt file is named in the error."""
    for name in ("rows.npz", "texts.txt"):
        with pytest.raises(LoadTestError, match="No such file"):
            read_rows(tmp_path / name, _metadata(("text", "BYTES", [-1])), {})


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"y": np.zeros((1, 2))}, "does not contain 'x'; known: y; name what an input comes from"),
        ({"x": np.zeros((1, 2))}, "does not contain 'ids'"),
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
        (
            {"x": np.full((1, 2), "1"), "ids": np.zeros((1, 1), int)},
            "'x' has type <U1, which does not convert to FP32",
        ),
        ({"x": np.array([[{}, {}]]), "ids": np.zeros((1, 1), int)}, "is not an .npz file of plain arrays"),
    ],
    ids=str,
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, arrays: dict[str, Any], complaint: str) -> None:
    """The error names the array, what it has and what is expected."""
    np.savez(tmp_path / "rows.npz", **arrays)
    with pytest.raises(LoadTestError, match=complaint):
        read_rows(tmp_path / "rows.npz", _metadata(("x", "FP32", [-1, 2]), ("ids", "INT32", [-1, 1])), {})


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04broken"], ids=str)
def test_what_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file that is not a valid .npz is refused."""
    (tmp_path / "rows.npz").write_bytes(content)
    with pytest.raises(LoadTestError, match=r"is not an \.npz file of plain arrays: "):
        read_rows(tmp_path / "rows.npz", _metadata(("x", "FP32", [-1])), {})


def test_a_single_array_is_the_one_input(tmp_path: Path) -> None:
    """The array of an .npy file has no name, so it is refused for several inputs."""
    np.save(tmp_path / "rows.npy", np.zeros((3, 2)))
    rows = read_rows(tmp_path / "rows.npy", _metadata(("x", "FP32", [-1, 2])), {})
    assert rows["x"].shape == (3, 2)
    with pytest.raises(LoadTestError, match="one array without a name, but m takes x, y"):
        read_rows(tmp_path / "rows.npy", _metadata(("x", "FP32", [-1, 2]), ("y", "FP32", [-1, 2])), {})


def test_numbers_are_no_texts(tmp_path: Path) -> None:
    """Numbers are refused as an input of texts."""
    np.savez(tmp_path / "rows.npz", text=np.array([1, 2]))
    with pytest.raises(LoadTestError, match="'text' has type int64, which does not convert to BYTES"):
        read_rows(tmp_path / "rows.npz", _metadata(("text", "BYTES", [-1])), {})


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_columns_become_inputs(tmp_path: Path, form: str) -> None:
    """Columns that a pattern finds stand side by side, a column can have another name, and labels are left
    out."""
    table = pa.table({"p0": [0.5, 1.5], "p1": [1, 2], "years": [40, 41], "label": ["no", "yes"]})
    path = tmp_path / f"rows.{form}"
    (pq.write_table if form == "parquet" else pa_csv.write_csv)(table, path)
    metadata = _metadata(("pixels", "FP32", [-1, 2]), ("age", "INT64", [-1]))
    rows = read_rows(path, metadata, {"pixels": ("p*",), "age": ("years",)})
    assert rows["pixels"].tolist() == [[0.5, 1.0], [1.5, 2.0]]
    assert rows["age"].tolist() == [40, 41]


def test_a_column_of_lists_is_an_input(tmp_path: Path) -> None:
    """A Parquet column of lists has several numbers in a row."""
    pq.write_table(pa.table({"x": [[0.0, 1.0], [2.0, 3.0]]}), tmp_path / "rows.parquet")
    rows = read_rows(tmp_path / "rows.parquet", _metadata(("x", "FP32", [-1, 2])), {})
    assert rows["x"].tolist() == [[0.0, 1.0], [2.0, 3.0]]


def test_keys_of_json_lines_become_inputs(tmp_path: Path) -> None:
    """Each line is a row; a text may have another key, and labels of any form are left out."""
    lines = [{"body": "eins", "labels": ["a"]}, {"body": "zwei", "labels": []}]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    rows = read_rows(path, _metadata(("text", "BYTES", [-1])), {"text": ("body",)})
    assert rows["text"].tolist() == ["eins", "zwei"]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("rows.jsonl", '{"x": 1}\n{"x"', "rows.jsonl:2 is not JSON"),
        ("rows.jsonl", "[1]", r"rows.jsonl:1 is \[1\]; give one object per line"),
        ("rows.jsonl", '{"x": [1]}\n{"x": [1, 2]}', "'x' has type object, which"),
        ("rows.csv", "", "is no table"),
        ("rows.csv", "x\nten\n", "'x' has type <U3, which does not convert to FP32"),
        ("rows.csv", "x,x\n1,2\n", "is no table"),
        ("rows.xls", "", "has an unknown ending; give a file of the form .npz, .npy"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    tmp_path: Path, name: str, content: str, complaint: str
) -> None:
    """The error names the file, the line or the column."""
    (tmp_path / name).write_text(content)
    with pytest.raises(LoadTestError, match=complaint):
        read_rows(tmp_path / name, _metadata(("x", "FP32", [-1])), {})
