"""Which values of an input a graph accepts."""

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from export.onnx.ranges import find_ranges
from tests.export.graphs import Builder, value

_INPUTS = [value("i", TensorProto.INT64, "batch", "length")]
_OUTPUTS = [value("y", TensorProto.FLOAT, "batch", "length", 3)]


def graph_of(build: Builder, indices: str, table: str, **attributes: Any) -> bytes:
    """y = table[indices]."""
    build.add("Gather", table, indices, output="y", **attributes)
    return build.finish(_INPUTS, _OUTPUTS)


def test_indices_of_a_table_are_its_rows() -> None:
    """The range of an index is from the first to the last row of its table."""
    build = Builder()
    assert find_ranges(graph_of(build, "i", build.weight("table", 7, 3))) == {"i": (0, 6)}


def test_an_input_that_counts_from_the_end_keeps_its_negative_numbers() -> None:
    """An input that counts from the end of a table, as ONNX allows, keeps its negative range."""
    build = Builder()
    assert find_ranges(graph_of(build, "i", build.weight("table", 7, 3)), {"i"}) == {"i": (-7, 6)}


def test_values_are_followed_through_what_leaves_them_as_they_are() -> None:
    """The range follows values through casts and identities."""
    build = Builder()
    narrow = build.add("Cast", "i", to=int(TensorProto.INT32))
    same = build.add("Identity", narrow)
    assert find_ranges(graph_of(build, same, build.weight("table", 7, 3))) == {"i": (0, 6)}


def test_a_quantized_table_has_its_own_rows() -> None:
    """The range of a quantized table's index is given by the rows of the stored table."""
    build = Builder()
    build.constant("stored", np.zeros((5, 3), np.int8))
    build.constant("scale", np.array(0.1, np.float32))
    assert find_ranges(graph_of(build, "i", build.add("DequantizeLinear", "stored", "scale"))) == {
        "i": (0, 4)
    }


def test_the_smallest_of_several_tables_decides() -> None:
    """The shortest of several tables gives the range."""
    build = Builder()
    first = build.add("Gather", build.weight("long", 9, 3), "i")
    second = build.add("Gather", build.weight("short", 4, 3), "i")
    build.add("Add", first, second, output="y")
    assert find_ranges(build.finish(_INPUTS, _OUTPUTS)) == {"i": (0, 3)}


@pytest.mark.parametrize("step", ["Add", "Mod"])
def test_values_that_are_changed_before_the_lookup_have_no_range(step: str) -> None:
    """Values that change before the lookup have no range."""
    build = Builder()
    changed = build.add(step, "i", build.constant("seven", np.array(7)))
    assert find_ranges(graph_of(build, changed, build.weight("table", 7, 3))) == {}
