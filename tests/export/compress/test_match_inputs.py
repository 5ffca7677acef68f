"""The arrays or columns of a file are matched to the inputs of a model."""

from typing import Any

import numpy as np
import pytest

from export.compress.match_inputs import ModelInput, match_inputs
from export.errors import InvalidData

_FLOATS = ModelInput(dtype=np.dtype(np.float32), dims=2)


def _column(dtype: Any = np.float32) -> Any:
    return np.zeros(5, dtype)


def test_equal_names_match() -> None:
    """Inputs with the names of arrays are those arrays; further arrays are left out."""
    arrays = {"a": np.zeros((5, 3), np.float32), "b": np.zeros((5, 2), np.float32), "other": _column()}
    match = match_inputs("rows.npz", {"b": _FLOATS, "a": _FLOATS}, arrays)
    assert match.inputs == {"a": "a", "b": "b"}


def test_a_single_array_is_the_single_input() -> None:
    """A single input takes a single array of another name."""
    assert match_inputs("rows.npz", {"x": _FLOATS}, {"data": np.zeros((5, 3))}).inputs == {"x": "data"}


def test_columns_stand_side_by_side_in_a_single_input() -> None:
    """A single input of two dimensions takes all columns, in the order of the file."""
    columns = {"width": _column(), "age": _column(np.int64)}
    assert match_inputs("rows.csv", {"x": _FLOATS}, columns).inputs == {"x": ("width", "age")}


@pytest.mark.parametrize(("dtype", "dtypes"), [(np.float64, {"x": "float32"}), (np.float32, {})])
def test_the_type_of_the_model_is_demanded_where_the_file_has_another(
    dtype: Any, dtypes: dict[str, str]
) -> None:
    """A file of float64 gets the entry float32 for a model of float32."""
    assert match_inputs("rows.npz", {"x": _FLOATS}, {"x": np.zeros((5, 3), dtype)}).dtypes == dtypes


def test_a_model_that_does_not_say_its_type_takes_that_of_the_file() -> None:
    """A torch module has names for its inputs, and no types."""
    match = match_inputs("rows.npz", {"x": ModelInput(dtype=None, dims=None)}, {"x": np.zeros((5, 3))})
    assert match.dtypes == {}


@pytest.mark.parametrize(
    ("expected", "arrays"),
    [
        ({"x": _FLOATS, "y": _FLOATS}, {"x": _column(), "z": _column()}),
        ({"x": ModelInput(dtype=None, dims=4)}, {"a": _column(), "b": _column()}),
        ({"x": _FLOATS}, {"a": np.zeros((5, 3)), "b": np.zeros((5, 3))}),
        ({"x": _FLOATS}, {"a": _column(), "b": np.array(["red"] * 5)}),
    ],
)
def test_arrays_that_match_no_input_are_refused(expected: dict[str, ModelInput], arrays: Any) -> None:
    """The error lists the arrays of the file and the inputs of the model."""
    with pytest.raises(InvalidData, match=rf"{', '.join(arrays)}.*{', '.join(expected)}"):
        match_inputs("rows", expected, arrays)
