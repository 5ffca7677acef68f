"""The splits are sound, fingerprinted by content, and share no row."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from export.datasets import Data, read_data, require_labels_below
from export.errors import InvalidData

NAMES = ("train", "calibration", "search", "held_out")


def raw(**changes: Any) -> dict[str, Any]:
    """Four sound splits of three rows, some of them changed."""
    splits = {
        name: ({"x": np.arange(6, dtype=np.float32).reshape(3, 2) + 10 * number}, np.array([0, 1, 2]))
        for number, name in enumerate(NAMES)
    }
    return {**splits, **changes}


def rows(*values: float) -> NDArray[np.float32]:
    """One row of two elements per value."""
    return np.array([[value, value] for value in values], np.float32)


def test_accepts_sound_splits() -> None:
    """Inputs and labels come out as they went in."""
    data = read_data(raw(), "make")
    assert len(data.held_out) == 3
    assert data.train.inputs["x"].tolist() == [[0, 1], [2, 3], [4, 5]]


def test_splits_cannot_be_changed() -> None:
    """What was fingerprinted stays what it was."""
    with pytest.raises(ValueError, match="read-only"):
        read_data(raw(), "make").train.inputs["x"][0] = 1


def test_shared_rows_are_named() -> None:
    """A row in two splits is refused, whatever its label: which splits, how many, where."""
    changes = {"train": ({"x": rows(1, 2, 3)}, [0, 1, 2]), "held_out": ({"x": rows(9, 3, 2)}, [0, 0, 0])}
    with pytest.raises(
        InvalidData,
        match=r"train and held_out share 2 rows \(train\[2\] = held_out\[1\], train\[1\] = held_out\[2\]\)",
    ):
        read_data(raw(**changes), "make")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heldout": None}, "unknown split 'heldout'; did you mean 'held_out'"),
        ({"search": (rows(1), [0])}, "split search is not a pair"),
        ({"search": ({"x": rows(1, 2)}, [0])}, r"input x has the shape \[2, 2\]; expected 1 rows"),
        ({"search": ({"x": rows()}, np.array([], int))}, "split search is empty"),
        ({"search": ({"x": rows(np.nan)}, [0])}, "input x holds NaN or infinity, first in row 0"),
        ({"search": ({"x": rows(1).astype(np.float16)}, [0])}, "input x is float16, which the wire cannot"),
        ({"search": ({"x": rows(1)}, [0.5])}, "labels are float64"),
        ({"search": ({"x": rows(1)}, [-1])}, "label -1 in row 0; labels start at 0"),
        ({"search": ({"y": rows(1)}, [0])}, "split search has the inputs {'y'"),
        ({"search": ({"x": rows(1).astype(np.float64)}, [0])}, "split search has the inputs {'x': 'float64"),
    ],
)
def test_refuses_unsound_splits(changes: dict[str, Any], message: str) -> None:
    """A fault is named with its split and its row."""
    with pytest.raises(InvalidData, match=message):
        read_data(raw(**changes), "make")


def test_refuses_a_missing_split() -> None:
    """All four splits are needed."""
    splits = raw()
    del splits["calibration"]
    with pytest.raises(InvalidData, match="no split 'calibration'"):
        read_data(splits, "make")


def test_labels_must_be_classes_of_the_model(data: Data) -> None:
    """A label beyond the model's outputs is named with its row."""
    require_labels_below(data, 10)
    with pytest.raises(InvalidData, match=r"labels are out of range, first 9 in row \d+; .* 0 to 8"):
        require_labels_below(data, 9)


def test_fingerprint_ignores_the_order_of_rows() -> None:
    """The same rows in another order are the same data."""
    one = read_data(raw(train=({"x": rows(1, 2)}, [0, 1])), "make").train.fingerprint
    other = read_data(raw(train=({"x": rows(2, 1)}, [1, 0])), "make").train.fingerprint
    assert one == other


def test_fingerprint_knows_the_labels() -> None:
    """The same rows with other labels are other data."""
    one = read_data(raw(train=({"x": rows(1, 2)}, [0, 1])), "make").train.fingerprint
    other = read_data(raw(train=({"x": rows(1, 2)}, [1, 0])), "make").train.fingerprint
    assert one != other
