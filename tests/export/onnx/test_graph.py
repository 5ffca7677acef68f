"""Graphs have no documentation and no repeated names."""

import pytest
from onnx import TensorProto, helper

from export.errors import ExportFailed
from export.onnx.graph import clean, require_unique_names


def test_cleaning_drops_notes_and_unused_operator_sets() -> None:
    """Cleaning removes documentation and unused operator sets, so that equal graphs are equal bytes."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [result])
    sets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=sets[:1])
    noted = helper.make_model(graph, opset_imports=sets, doc_string="made by hand")
    helper.set_model_props(noted, {"path": "/somewhere/model.py"})
    noted.graph.node[0].metadata_props.add(key="stack_trace", value="/somewhere/model.py")
    assert clean(noted) == clean(model)


def test_two_values_of_one_name_are_refused() -> None:
    """A graph with two values of the same name is refused."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["y"], ["y"])]
    model = helper.make_model(helper.make_graph(nodes, "g", [value], [result]))
    with pytest.raises(ExportFailed, match=r"2 values of the graph are named 'y'.*choose another name"):
        require_unique_names(model)
