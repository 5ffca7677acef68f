"""Which failures of a run are caused by the input, and how the error describes them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from serve.base.errors import ModelFailed, RefusedInput
from serve.base.tensor import Signature, TensorSpec
from serve.engine.input_faults import check_ranges, run_checked
from serve.engine.session import Session

_TYPES = {"FP32": TensorProto.FLOAT, "INT64": TensorProto.INT64, "BYTES": TensorProto.STRING}
_TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)


def session_of(nodes: list[Any], inputs: list[TensorSpec], ranges: Any = None, **constants: Any) -> Session:
    """A graph from these inputs to `y`."""
    infos = [helper.make_tensor_value_info(spec.name, _TYPES[spec.datatype], spec.shape) for spec in inputs]
    rank = 4 if any(node.op_type == "Conv" for node in nodes) else len(inputs[0].shape)
    dims = ["batch", *[f"out_{place}" for place in range(1, rank)]]
    graph = helper.make_graph(
        nodes,
        "graph",
        infos,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, dims)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    output = TensorSpec(name="y", datatype="FP32", shape=tuple(dims))
    signature = Signature(inputs=tuple(inputs), outputs=(output,))
    content: bytes = onnx.ModelProto.SerializeToString(model)
    return Session(content, signature, "made/base", ranges=ranges)


def refusal(session: Session, arrays: Mapping[str, Any]) -> str:
    """Return the message of the refused input."""
    with pytest.raises(RefusedInput) as raised:
        run_checked(session, arrays)
    return str(raised.value)


def spec(name: str, datatype: str, *shape: str | int) -> TensorSpec:
    """Return the spec of an input."""
    return TensorSpec(name=name, datatype=datatype, shape=shape)


def lookup(ranges: Any = None) -> Session:
    """y = table[i], summed over the columns, beside `x` which is added."""
    nodes = [
        helper.make_node("Gather", ["table", "i"], ["found"]),
        helper.make_node("ReduceSum", ["found", "axes"], ["sum"], keepdims=0),
        helper.make_node("Add", ["sum", "x"], ["y"]),
    ]
    inputs = [spec("x", "FP32", "batch"), spec("i", "INT64", "batch")]
    return session_of(nodes, inputs, ranges, table=_TABLE, axes=np.array([1]))


def asked(*indices: int) -> dict[str, Any]:
    """Rows of `lookup`."""
    return {"x": np.zeros(len(indices), np.float32), "i": np.array(indices)}


def test_what_the_graph_takes_is_answered() -> None:
    """A valid input gives the same outputs as an unchecked run."""
    assert run_checked(lookup({"i": (0, 3)}), asked(3, 0))["y"].tolist() == [30.0, 3.0]


@pytest.mark.parametrize("index", [4, -1, -5, 2**62])
def test_a_value_out_of_its_range_is_named(index: int) -> None:
    """The error names the value, even a negative one that the graph would count from the table's end."""
    said = refusal(lookup({"i": (0, 3)}), asked(0, index))
    assert said == f"input 'i' has the value {index}, expected 0 to 3: the model's table has no other entries"


def test_a_range_that_nobody_wrote_down_is_the_graphs_own_word() -> None:
    """Without a range in the bundle, the error gives the range that the graph reports."""
    said = refusal(lookup(), asked(0, 4))
    assert said == "input 'i' has the value 4, expected -4 to 3: the model's table has no other entries"


@pytest.mark.parametrize("value", [2**53 + 1, 2**63 - 1, -(2**63)])
def test_numbers_that_no_float_holds_are_compared_exactly(value: int) -> None:
    """Integers beyond the precision of floats are compared exactly."""
    check_ranges({"i": np.array([value])}, {"i": (value, value)})
    with pytest.raises(RefusedInput, match=f"has the value {value}, expected"):
        check_ranges({"i": np.array([value])}, {"i": (0, 2**53)})


def test_an_unsigned_number_beyond_all_signed_ones_is_named() -> None:
    """An unsigned value beyond the signed range is reported as it is."""
    with pytest.raises(RefusedInput, match=f"has the value {2**64 - 1}, expected 0 to 3"):
        check_ranges({"i": np.array([2**64 - 1], np.uint64)}, {"i": (0, 3)})


def test_a_sequence_that_is_too_long_is_named_with_the_longest() -> None:
    """A sequence that is too long is refused before the run; one of the maximum length is accepted."""
    session = session_of([helper.make_node("Identity", ["x"], ["y"])], [spec("x", "FP32", "batch", "steps")])
    session.longest["steps"] = 3
    assert run_checked(session, {"x": np.ones((2, 3), np.float32)})["y"].shape == (2, 3)
    assert refusal(session, {"x": np.ones((2, 4), np.float32)}).startswith(
        "input 'x' has 4 steps, expected at most 3: "
    )


def test_a_shape_that_the_graph_does_not_take_is_named_beside_one_that_it_takes() -> None:
    """The error for a refused shape also gives a shape that works."""
    slices = [helper.make_node("Add", ["x", "positions"], ["y"])]
    session = session_of(
        slices, [spec("x", "FP32", "batch", "length")], positions=np.zeros((1, 16), np.float32)
    )
    said = refusal(session, {"x": np.zeros((2, 17), np.float32)})
    assert said.startswith("made/base ")
    assert " x [2, 17]: Add: Attempting to broadcast" in said
    assert said.endswith(" x [1, 16]")


def test_an_image_that_is_too_small_is_the_clients() -> None:
    """An image that is too small for a convolution is the client's error."""
    conv = [helper.make_node("Conv", ["x", "kernel"], ["y"])]
    kernel = np.zeros((2, 3, 8, 8), np.float32)
    session = session_of(conv, [spec("x", "FP32", "batch", 3, "height", "width")], kernel=kernel)
    said = refusal(session, {"x": np.zeros((1, 3, 4, 16), np.float32)})
    assert " x [1, 3, 4, 16]: Conv: Invalid input shape: {4,16}" in said
    assert said.endswith(" x [1, 3, 16, 16]")


def test_values_that_the_graph_does_not_take_are_those_of_the_input_without_which_it_runs() -> None:
    """The error names the input whose values the graph cannot cast, and not the valid one."""
    nodes = [
        helper.make_node("Cast", ["words"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "numbers"], ["y"]),
    ]
    session = session_of(nodes, [spec("x", "FP32", "batch"), spec("words", "BYTES", "batch")])
    said = refusal(session, {"x": np.ones(1, np.float32), "words": np.array([b"seven"], np.object_)})
    assert said.startswith("made/base ")
    assert " b'seven' in input 'words': Cast: " in said


def test_too_little_memory_is_not_the_clients_fault() -> None:
    """A failed allocation is the model's error."""
    nodes = [
        helper.make_node("Mul", ["x", "much"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["y"]),
    ]
    session = session_of(nodes, [spec("x", "INT64", 1)], much=np.array([2**40]))
    with pytest.raises(ModelFailed, match="Failed to allocate memory"):
        run_checked(session, {"x": np.array([4])})


def test_a_graph_that_no_longer_runs_at_all_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the graph also fails on a valid input, the error is ModelFailed."""
    session = lookup()

    def fail(arrays: Any) -> Any:
        raise ModelFailed("made/base failed on a valid input: it is broken")

    monkeypatch.setattr(session, "run", fail)
    with pytest.raises(ModelFailed, match="it is broken"):
        run_checked(session, asked(0))
