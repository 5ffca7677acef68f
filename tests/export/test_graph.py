"""Graphs are counted alike before and after quantization, and carry no notes."""

import onnx
import pytest
from onnx import TensorProto, helper

from export.errors import ExportFailed
from export.graph import clean, count_parameters, require_unique_names
from export.pipeline import Outcome
from export.recipes.digits import digits_model


def test_counts_the_models_weights(float_graph: bytes) -> None:
    """The graph has the torch model's parameters, less the normalizations that are folded into weights."""
    model = digits_model()
    normalizations = 2 * (32 + 64 + 128)
    folded_biases = 32 + 64 + 128
    expected = sum(parameter.numel() for parameter in model.parameters()) - normalizations + folded_biases
    assert count_parameters(float_graph) == expected


def test_quantization_does_not_change_the_count(outcome: Outcome) -> None:
    """Scales and zero points are no parameters, so that variants compare."""
    bundles = outcome.model.bundles
    assert bundles["int8"].figures.parameters == bundles["fp32"].figures.parameters
    assert bundles["slim-int8"].figures.parameters == bundles["slim"].figures.parameters


def test_cleaning_drops_notes_and_unused_operator_sets() -> None:
    """What tools leave for people would make two equal graphs differ."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [result])
    sets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=sets[:1])
    noted = helper.make_model(graph, opset_imports=sets, doc_string="made by hand")
    helper.set_model_props(noted, {"path": "/somewhere/model.py"})
    noted.graph.node[0].metadata_props.add(key="stack_trace", value="/somewhere/model.py")
    assert clean(noted) == clean(model)


def test_shipped_graphs_name_no_folder_of_this_machine(outcome: Outcome) -> None:
    """A bundle says nothing about where it was made."""
    for name in outcome.model.bundles:
        content = (outcome.model.folder / name / "model.onnx").read_bytes()
        assert b".py" not in content
        assert {item.domain for item in onnx.load_from_string(content).opset_import} == {""}


def test_two_values_of_one_name_are_refused() -> None:
    """No runtime accepts an output that is named like an inner value."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["y"], ["y"])]
    model = helper.make_model(helper.make_graph(nodes, "g", [value], [result]))
    with pytest.raises(ExportFailed, match=r"2 values of the graph are named 'y'.*choose another name"):
        require_unique_names(model)
