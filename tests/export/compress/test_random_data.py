"""Random rows are found by trying the model."""

import numpy as np
import pytest
import torch
from onnx import helper

from export.artifacts import Trained
from export.compress.random_data import find_random_rows
from export.errors import ExportFailed, InvalidData
from tests.export.onnx_files import FLOAT, INT64, file_of, random


class _Bag(torch.nn.Module):
    """The mean of the vectors of words, of which there are 50."""

    def __init__(self) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(50, 4)

    def forward(self, ids: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """Return one vector for each row."""
        vectors: torch.Tensor = self.words(ids).mean(1) * scale
        return vectors


def _of_graph(graph: bytes) -> Trained:
    return Trained(name="m.onnx", sha256="", graph=graph, assets={})


def test_words_lie_within_the_table() -> None:
    """The indices of an embedding of 20 words are 0 to 19, and the free length is one that fits."""
    nodes = [
        helper.make_node("Gather", ["words", "ids"], ["vectors"]),
        helper.make_node("Reshape", ["vectors", "halves"], ["y"]),
    ]
    weights = {"words": random(20, 3), "halves": np.array([0, 2, -1])}
    content = file_of(nodes, [("ids", INT64, ["batch", "n"])], [("y", FLOAT, ["batch", 2, "m"])], weights)
    form = find_random_rows(_of_graph(content)).inputs["ids"]
    assert (form.low, form.high, form.shape) == (0, 19, (64,))


def test_a_size_that_the_graph_refuses_is_not_taken() -> None:
    """A product with 16 weights needs 16 numbers, which the file leaves free."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    content = file_of(
        nodes, [("x", FLOAT, ["batch", "n"])], [("y", FLOAT, ["batch", 2])], {"w": random(16, 2)}
    )
    assert find_random_rows(_of_graph(content)).inputs["x"].shape == (16,)


def test_a_row_that_fits_by_chance_does_not_decide() -> None:
    """An index of a table of 200 rows is often below 200 if it is drawn from 0..255, but not 16 times."""
    nodes = [
        helper.make_node("Add", ["id", "zero"], ["sum"]),
        helper.make_node("Gather", ["words", "sum"], ["y"]),
    ]
    weights = {"words": random(200, 3), "zero": np.int64(0)}
    content = file_of(nodes, [("id", INT64, ["batch"])], [("y", FLOAT, ["batch", 3])], weights)
    assert find_random_rows(_of_graph(content)).inputs["id"].high == 9


def test_numbers_with_a_root_are_positive() -> None:
    """NaN is no answer, so the numbers lie in 0..1 where normal ones have no root."""
    nodes = [helper.make_node("Sqrt", ["x"], ["y"])]
    content = file_of(nodes, [("x", FLOAT, ["batch", 8])], [("y", FLOAT, ["batch", 8])], {})
    form = find_random_rows(_of_graph(content)).inputs["x"]
    assert (form.low, form.high) == (0, 1)


def test_a_graph_that_takes_no_random_row_is_refused() -> None:
    """No size that is tried fits 37 weights; the error says to give rows."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    content = file_of(
        nodes, [("x", FLOAT, ["batch", "n"])], [("y", FLOAT, ["batch", 2])], {"w": random(37, 2)}
    )
    with pytest.raises(ExportFailed, match=r"m\.onnx accepts no random row .*MatMul.*--inputs"):
        find_random_rows(_of_graph(content))


def test_a_program_declares_its_inputs() -> None:
    """A recorded program tells types and sizes; 9 is the highest index tried that 50 words have."""
    dims = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    example = (torch.zeros(2, 7, dtype=torch.int64), torch.ones(2, 1))
    program = torch.export.export(_Bag().eval(), example, dynamic_shapes=(dims, {0: dims[0]}))
    trained = Trained(name="m.pt2", sha256="", build=program.module, frozen=True, assets={})
    inputs = find_random_rows(trained).inputs
    assert (inputs["ids"].dtype, inputs["ids"].shape, inputs["ids"].high) == ("int64", (64,), 9)
    assert (inputs["scale"].dtype, inputs["scale"].shape) == ("float32", (1,))


def test_a_module_without_sizes_needs_rows() -> None:
    """A network of code declares no inputs."""
    trained = Trained(name="net", sha256="", build=_Bag, assets={})
    with pytest.raises(InvalidData, match="--inputs"):
        find_random_rows(trained)
