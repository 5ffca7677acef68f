import numpy as np
import pytest

from export.compress.random_inputs import DeclaredInput, find_row_axis, have_rows, propose_inputs
from export.repair.input_axes import Shape

_FLOAT, _INTEGER = np.dtype(np.float32), np.dtype(np.int64)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        (("batch", 3, "h", "w"), 0),
        (("seq", "batch", 8), 1),
        ((1, 3, "h", "w"), 0),
        ((2, "", 128), 1),
        ((2, 1, 64), 1),
        ((8, 64), 0),
    ],
)
def test_the_axis_of_the_rows_is_the_likeliest(shape: Shape, axis: int) -> None:
    """The one called batch, else the first if it is free or 1, else a free one, else one of size 1."""
    assert find_row_axis(shape) == axis


def test_nodes_and_edges_are_no_rows() -> None:
    """Inputs whose first dimensions differ have no rows, unless a dimension is called batch."""
    assert not have_rows([("nodes", 8), (2, "edges"), ("edges",)])
    assert have_rows([("nodes", 8), ("batch", 2)])
    assert have_rows([("", 8), ("", 2)])


def test_free_sizes_are_tried_in_turn() -> None:
    """An image is first tried with 224 pixels, then with 320; fixed sizes stay."""
    declared = {"image": DeclaredInput(dtype=_FLOAT, shape=("batch", 3, "h", "w"), axis=0)}
    shapes = list(dict.fromkeys(inputs["image"].shape for inputs in propose_inputs(declared)))
    assert shapes[:2] == [(3, 224, 224), (3, 320, 320)]


def test_indices_stay_within_their_table() -> None:
    """The values of an input that is looked up in a table of 10 rows are 0 to 9."""
    declared = {"ids": DeclaredInput(dtype=_INTEGER, shape=("batch", 4), axis=0, indices=(-10, 9))}
    inputs = next(propose_inputs(declared))
    assert (inputs["ids"].low, inputs["ids"].high) == (0, 9)


def test_unknown_whole_numbers_are_bytes_then_classes_then_flags() -> None:
    """If the graph does not tell what a number may be, ever fewer are tried."""
    declared = {"bytes": DeclaredInput(dtype=_INTEGER, shape=("batch", 4), axis=0)}
    assert list(dict.fromkeys(inputs["bytes"].high for inputs in propose_inputs(declared))) == [255, 9, 1]


def test_lengths_are_the_size_of_the_free_dimension() -> None:
    """One number per row whose name says length is as long as the sequence."""
    declared = {
        "x": DeclaredInput(dtype=_FLOAT, shape=("batch", "time"), axis=0),
        "x_lengths": DeclaredInput(dtype=_INTEGER, shape=("batch",), axis=0),
    }
    inputs = next(propose_inputs(declared))
    assert inputs["x"].shape == (inputs["x_lengths"].low,) == (inputs["x_lengths"].high,)
