import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from export.onnx.inner_runs import find_inner_runs
from export.proof.graph_cost import count_by_node, count_multiply_adds
from tests.export.onnx_files import FLOAT, INT64, Values, file_of, random

BOOL = TensorProto.BOOL
RECURRENT = [random(1, 8, 4), random(1, 8, 2)]


def looped(inner: list[onnx.NodeProto]) -> onnx.ModelProto:
    """A MatMul, and a Loop that runs these nodes from `h` to `next`, as often as the second input says."""
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [*inner, helper.make_node("Identity", ["again"], ["on"])],
        "body",
        [info("pass", INT64, []), info("again", BOOL, []), info("h", FLOAT, None)],
        [info("on", BOOL, []), info("next", FLOAT, None)],
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["first"], "first"),
        helper.make_node("Squeeze", ["times"], ["scalar"], "squeeze"),
        helper.make_node("Loop", ["scalar", "", "first"], ["y"], "loop", body=body),
    ]
    inputs: Values = [("x", FLOAT, ["batch", 4]), ("times", INT64, ["batch"])]
    weights = {"w": random(4, 4), "input": RECURRENT[0], "hidden": RECURRENT[1]}
    return onnx.load_from_string(file_of(nodes, inputs, [("y", FLOAT, None)], weights))


def given(times: int) -> dict[str, np.ndarray]:
    """A row, and the number of passes."""
    return {"x": random(1, 4), "times": np.array([times])}


PRODUCT = helper.make_node("MatMul", ["h", "w"], ["next"])


@pytest.mark.parametrize("times", [0, 1, 7])
def test_a_product_in_a_loop_counts_once_a_pass(times: int) -> None:
    """A product of 16 multiply-adds before the Loop, and one in each pass."""
    assert count_multiply_adds(looped([PRODUCT]), given(times)) == 16 + 16 * times


def test_what_is_inside_a_node_counts_as_that_nodes() -> None:
    """By the names of the outer nodes."""
    counts = count_by_node(looped([PRODUCT]), given(3))
    assert counts == {"first": 16, "squeeze": 0, "loop": 48}


@pytest.mark.parametrize(("largest", "expected"), [(1, 16 + 2 * 32), (-1, 16)])
def test_of_an_if_the_branch_that_runs_counts(largest: int, expected: int) -> None:
    """The If is in a Loop of two passes; one branch has two products, the other has none."""
    info = helper.make_tensor_value_info("z", FLOAT, None)
    twice = [helper.make_node("MatMul", ["h", "w"], ["k"]), helper.make_node("MatMul", ["k", "w"], ["z"])]
    none = [helper.make_node("Identity", ["h"], ["z"])]
    bound = helper.make_tensor("bound", FLOAT, [], [largest])
    nodes = [
        helper.make_node("Constant", [], ["bound"], value=bound),
        helper.make_node("Constant", [], ["zero"], value=helper.make_tensor("zero", FLOAT, [], [0])),
        helper.make_node("Greater", ["bound", "zero"], ["above"]),
        helper.make_node(
            "If",
            ["above"],
            ["next"],
            then_branch=helper.make_graph(twice, "then", [], [info]),
            else_branch=helper.make_graph(none, "else", [], [info]),
        ),
    ]
    assert count_multiply_adds(looped(nodes), given(2)) == expected


def test_inputs_that_are_left_out_have_no_shape() -> None:
    """An LSTM with 2 hidden units for a row of 4 numbers, without its bias: 8 x 4 + 8 x 2 a step."""
    names = ["step", "input", "hidden", "", ""]
    nodes = [
        helper.make_node("Constant", [], ["axis"], value=helper.make_tensor("axis", INT64, [1], [0])),
        helper.make_node("Unsqueeze", ["h", "axis"], ["step"]),
        helper.make_node("LSTM", names, ["states"], hidden_size=2),
        helper.make_node("Identity", ["h"], ["next"]),
    ]
    model = looped(nodes)
    [run] = find_inner_runs(model, ("LSTM",), given(1))
    assert (run.inputs, run.output) == ([(1, 1, 4), (1, 8, 4), (1, 8, 2), (), ()], (1, 1, 1, 2))
    assert count_multiply_adds(model, given(1)) == 16 + 48
