"""Columns of Parquet and CSV files become inputs."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from export.data.files.row_file import read_rows
from export.data.files.row_form import RowForm
from export.errors import InvalidData

ROWS = "age,income,city,p0,p1,label\n30,1.5,Bern,1,2,0\n40,2.5,Paris,3,4,1\n"


def csv(folder: Path, content: str | bytes, **form: Any) -> Any:
    """Return what a recipe with these settings reads from a CSV file of this content."""
    path = folder / "rows.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_rows(path, RowForm.parse(form, "form"))


def parquet(folder: Path, columns: dict[str, Any], **form: Any) -> Any:
    """Return what a recipe with these settings reads from a Parquet file of these columns."""
    path = folder / "rows.parquet"
    pq.write_table(pa.table(columns), path)
    return read_rows(path, RowForm.parse(form, "form"))


def test_a_column_is_an_input_of_its_name(tmp_path: Path) -> None:
    """A column is an input with its name; fractions are float32, and whole numbers int64."""
    rows = csv(tmp_path, ROWS, inputs=["age", "income", "city"], labels="label")
    found = {name: (array.dtype.name, array.tolist()) for name, array in rows.inputs.items()}
    assert found == {
        "age": ("int64", [30, 40]),
        "income": ("float32", [1.5, 2.5]),
        "city": ("object", ["Bern", "Paris"]),
    }
    assert rows.labels.tolist() == [0, 1]


def test_a_list_of_columns_is_one_input(tmp_path: Path) -> None:
    """A list of columns becomes one input with a column each; a list of one becomes a column vector."""
    rows = csv(tmp_path, ROWS, inputs={"x": ["income", "age"], "city": ["city"]})
    assert rows.inputs["x"].dtype == np.float32
    assert rows.inputs["x"].tolist() == [[1.5, 30], [2.5, 40]]
    assert rows.inputs["city"].tolist() == [["Bern"], ["Paris"]]


def test_a_pattern_is_all_columns_that_match(tmp_path: Path) -> None:
    """A pattern chooses all columns that match, in the order of the file and without the labels."""
    rows = csv(tmp_path, ROWS, inputs={"x": ["p*"]}, dtypes={"x": "float32"})
    assert rows.inputs["x"].dtype == np.float32
    assert rows.inputs["x"].tolist() == [[1, 2], [3, 4]]
    rows = csv(tmp_path, "b,y,a\n1,0,2\n3,1,4\n", inputs={"x": ["*"]}, labels="y")
    assert rows.inputs["x"].tolist() == [[1, 2], [3, 4]]


def test_a_pattern_adds_the_columns_that_are_not_there_yet(tmp_path: Path) -> None:
    """Those that must be first are named first."""
    rows = csv(tmp_path, "b,a,c\n1,2,3\n", inputs={"x": ["a", "*"]})
    assert rows.inputs["x"].tolist() == [[2, 1, 3]]


def test_without_inputs_every_other_column_is_one(tmp_path: Path) -> None:
    """Without `inputs`, each column but the labels is an input."""
    rows = csv(tmp_path, ROWS, labels="label")
    assert list(rows.inputs) == ["age", "income", "city", "p0", "p1"]


def test_reads_parquet(tmp_path: Path) -> None:
    """A Parquet file keeps its types, and only the requested columns are read."""
    columns = {
        "x": pa.array([[[1.0, 2.0]], [[3.0, 4.0]]]),
        "n": pa.array([1, 2], pa.int32()),
        "kind": pa.array(["a", "b"]).dictionary_encode(),
        "price": pa.array([Decimal("1.00"), Decimal("2.00")]),
        "when": pa.array([0, 1], pa.timestamp("s")),
        "words": pa.array([["a", "b"], ["c", "d"]], pa.list_(pa.string(), 2)),
    }
    rows = parquet(tmp_path, columns, inputs=["x", "n", "price", "words"], labels="kind")
    assert rows.inputs["words"].tolist() == [["a", "b"], ["c", "d"]]
    assert rows.inputs["x"].dtype == np.float32
    assert rows.inputs["x"].tolist() == [[[1, 2]], [[3, 4]]]
    assert rows.inputs["n"].dtype == np.int32
    assert rows.inputs["price"].tolist() == [1, 2]
    assert rows.labels.tolist() == ["a", "b"]


def test_a_list_column_may_be_labels_per_token(tmp_path: Path) -> None:
    """A list column with rows of several lengths may hold the labels per token."""
    rows = parquet(tmp_path, {"text": ["a", "a b"], "tags": [[1], [0, 1]]}, labels="tags")
    assert rows.labels.tolist() == [[1], [0, 1]]


def test_true_and_false_are_classes(tmp_path: Path) -> None:
    """1 and 0, as of other labels of two classes."""
    assert csv(tmp_path, "a,y\n1,true\n2,false\n", labels="y").labels.tolist() == [1, 0]


def test_a_missing_number_is_nan(tmp_path: Path) -> None:
    """A missing number becomes NaN."""
    rows = csv(tmp_path, "a,b\n1,\n,2.5\n", inputs={"x": ["a", "b"]})
    assert np.array_equal(rows.inputs["x"], [[1, np.nan], [np.nan, 2.5]], equal_nan=True)


def test_a_text_may_have_several_lines(tmp_path: Path) -> None:
    """A quoted text may have several lines."""
    assert csv(tmp_path, 'text\n"one\ntwo"\nthree\n').inputs["text"].tolist() == ["one\ntwo", "three"]


@pytest.mark.parametrize(
    ("content", "form", "message"),
    [
        ("", {}, r"rows\.csv is no table: Empty CSV file"),
        ("a,b\n1,2\n3\n", {}, r"rows\.csv is no table: .*Row #3: Expected 2 columns, got 1"),
        ("a,a\n1,2\n", {}, r"rows\.csv has several columns named 'a'"),
        (ROWS, {"inputs": ["agee"]}, r"rows\.csv has no column 'agee'; did you mean 'age'\?"),
        (ROWS, {"inputs": {"x": ["age", "q*"]}}, r"rows\.csv has no column 'q\*'"),
        (ROWS, {"inputs": {"x": ["lab*"]}, "labels": "label"}, r"rows\.csv has no column 'lab\*'"),
        (ROWS, {"labels": "labels"}, r"rows\.csv has no column 'labels'; did you mean 'label'\?"),
        (ROWS, {"inputs": {"x": ["age", "city"]}}, "column city holds 'Bern' in row 0, .*all text or all"),
        ("a\n1\nn/a2\n", {"dtypes": {"a": "float32"}}, "column a holds 'n/a2' in row 1, which cannot become"),
        ("a,y\n1,0\n2,\n", {"labels": "y"}, "column y has no value in row 1; fill in or drop"),
        ("a,y\n1,x\n2,\n", {"labels": "y"}, "the label of row 1 is missing"),
        ("a,y\n1,0.5\n2,NaN\n", {"labels": "y"}, "column y has no value in row 1"),
        ("a,b\n,1\n,2\n", {}, "column a has no value in row 0"),
        ("a\n2024-01-01\n2024-01-02\n", {}, r"column a is date32\[day\]; expected numbers"),
        ("a\ngut\nm\xfcde\n".encode("latin-1"), {}, "column a is not UTF-8 in row 1: .*in UTF-8"),
        ("\xfc\n1\n".encode("latin-1"), {}, r"rows\.csv is no table: 'utf-8' codec .* CSV in UTF-8"),
    ],
)
def test_refuses_csv(tmp_path: Path, content: str | bytes, form: Any, message: str) -> None:
    """The error names the column, the row and the value, as far as they apply."""
    with pytest.raises(InvalidData, match=message):
        csv(tmp_path, content, **form)


@pytest.mark.parametrize(
    ("columns", "form", "message"),
    [
        ({"x": [[1, 2], [3]]}, {}, "column x has a list of 2 values in row 0 and of 1 in row 1"),
        ({"x": [[1, 2], None]}, {}, "column x has no value in row 1"),
        ({"x": ["a", None]}, {}, "column x has no value in row 1"),
        ({"x": [[1, 2], [3, 4]]}, {"inputs": {"x": ["x"]}}, "column x holds lists; write `x: x`"),
        ({"x": [b"a", b"b"]}, {}, "column x is bytes, not text"),
        ({"x": [{"a": 1}]}, {}, r"column x is struct<a: int64>; expected numbers"),
        ({"x": [1.5, 2.5], "y": [1.0, float("nan")]}, {"labels": "y"}, "the label of row 1 is missing"),
    ],
)
def test_refuses_parquet(tmp_path: Path, columns: dict[str, Any], form: Any, message: str) -> None:
    """Types that no model takes, missing values and rows of several lengths are refused."""
    with pytest.raises(InvalidData, match=message):
        parquet(tmp_path, columns, **form)


def test_refuses_a_file_that_is_no_parquet(tmp_path: Path) -> None:
    """A file with the extension of Parquet and other content is refused."""
    (tmp_path / "rows.parquet").write_text(ROWS)
    with pytest.raises(InvalidData, match=r"rows\.parquet is no table"):
        read_rows(tmp_path / "rows.parquet", RowForm())


def test_a_table_without_rows_is_empty(tmp_path: Path) -> None:
    """A table without rows gives empty inputs."""
    assert csv(tmp_path, "a,b\n", labels="b").inputs["a"].shape == (0,)
