"""Casting to a type that a recipe demands changes no value, or is refused."""

from typing import Any

import numpy as np
import pytest

from export.data.files.casting import cast
from export.data.files.row_form import Dtype
from export.errors import InvalidData


@pytest.mark.parametrize(
    ("array", "dtype", "expected"),
    [
        (np.array([1, 2]), "float32", [1.0, 2.0]),
        (np.array([1.0, 2.0]), "int64", [1, 2]),
        (np.array([True, False]), "int32", [1, 0]),
        (np.array([0, 1]), "bool", [False, True]),
        (np.array([1.0, np.nan]), "float32", [1.0, np.nan]),
        (np.array(["1.5", "2"], object), "float64", [1.5, 2.0]),
        (np.array(["7", "-2"]), "int8", [7, -2]),
    ],
)
def test_keeps_values(array: Any, dtype: Dtype, expected: list[Any]) -> None:
    """Whole numbers become floats and back, and text that holds numbers becomes numbers."""
    changed = cast("x", array, dtype)
    assert changed.dtype == dtype
    assert np.array_equal(changed, expected, equal_nan=dtype.startswith("float"))


def test_rounds_floats() -> None:
    """A float with fewer bits has the nearest value."""
    assert cast("x", np.array([0.1]), "float32")[0] == np.float32(0.1)


@pytest.mark.parametrize(
    ("array", "dtype", "message"),
    [
        (np.array([1, 2.5]), "int64", "x holds 2.5 in row 1, which cannot become int64"),
        (np.array([1, np.nan]), "int64", "x holds nan in row 1, which cannot become int64"),
        (np.array([[1, 300]]), "uint8", "x holds 300 in row 0, which cannot become uint8"),
        (np.array([1, -1]), "uint64", "x holds -1 in row 1"),
        (np.array([1, 2]), "bool", "x holds 2 in row 1"),
        (np.array([1, 1e300]), "float32", r"x holds 1e\+300 in row 1, which cannot become float32"),
        (np.array(["1", "n/a"], object), "float32", "x holds 'n/a' in row 1, which cannot become float32"),
        (np.array(["1", "2.5"], object), "int64", "x holds '2.5' in row 1"),
        (np.array([str(2**70)], object), "int64", "x holds '1180591620717411303424' in row 0"),
        (np.array([1j]), "float32", "x is complex128, which cannot become float32"),
    ],
)
def test_refuses_values_that_would_change(array: Any, dtype: Dtype, message: str) -> None:
    """The error names the first value that would change, and its row."""
    with pytest.raises(InvalidData, match=message):
        cast("x", array, dtype)
