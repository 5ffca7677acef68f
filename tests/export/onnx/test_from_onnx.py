"""A graph from a file is served for any batch and with the recipe's outputs."""

import warnings
from importlib import import_module
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from export.data.datasets import Split, read_data
from export.errors import ExportFailed
from export.onnx.from_onnx import from_onnx
from serve.base.tensor import TensorSpec
from tests.export.graphs import split_of as to_split


def split_of(inputs: dict[str, Any]) -> Split:
    """These rows as the calibration split."""
    other = {
        name: ({key: array[:2] + number for key, array in inputs.items()}, None)
        for number, name in ((100, "search"), (200, "held_out"))
    }
    return read_data({"calibration": (inputs, None), **other}, "make").calibration


@pytest.fixture(scope="module")
def rows() -> Split:
    """Four rows of two floats."""
    return split_of({"x": np.arange(8, dtype=np.float32).reshape(4, 2)})


@pytest.fixture(scope="module")
def cancer() -> Any:
    """Breast cancer: rows, and a model that scikit-learn trained on them."""
    x, y = load_breast_cancer(return_X_y=True)
    return x.astype(np.float32), make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)


def convert(model: Any, **options: Any) -> bytes:
    """The scikit-learn model as skl2onnx converts it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        skl2onnx = import_module("skl2onnx")
        kind = skl2onnx.common.data_types.FloatTensorType([None, 30])
        proto = skl2onnx.convert_sklearn(
            model, initial_types=[("x", kind)], target_opset={"": 18, "ai.onnx.ml": 3}, **options
        )
    return bytes(proto.SerializeToString())


def graph(*nodes: Any, **shapes: Any) -> bytes:
    """A model of these nodes; `x` and `y` are its input and output, [batch, 2] unless said otherwise."""
    shapes = {"x": ["batch", 2], "y": ["batch", 2], **shapes}
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()
    }
    weight = numpy_helper.from_array(np.ones((2, 2), np.float32), "weight")
    outputs = [value for name, value in values.items() if name[0] == "y"]
    made = helper.make_graph(
        nodes, "g", [value for name, value in values.items() if name[0] == "x"], outputs, [weight]
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def times(source: str, target: str) -> Any:
    """source times the weight."""
    return helper.make_node("MatMul", [source, "weight"], [target])


def test_a_missing_value_that_the_graph_does_not_take_is_named() -> None:
    """If NaN in a row makes the answer NaN, the error names the row and the input, not the model."""
    x = np.array([[1, 2], [3, np.nan], [5, 6], [7, 8]], np.float32)
    with pytest.raises(ExportFailed, match="input 'x' of calibration row 1 holds NaN"):
        from_onnx(graph(times("x", "y")), to_split({"x": x}), ("y",))


def test_a_scikit_learn_model_answers_like_itself(cancer: Any) -> None:
    """The exported scikit-learn model gives scikit-learn's probabilities, for any number of rows."""
    x, model = cancer
    exported = from_onnx(
        convert(model, options={"zipmap": False}), split_of({"x": x[:20]}), ("probabilities",)
    )
    assert exported.parity is None
    assert exported.signature.inputs == (TensorSpec(name="x", datatype="FP32", shape=("batch", 30)),)
    assert exported.signature.outputs == (
        TensorSpec(name="probabilities", datatype="FP32", shape=("batch", 2)),
    )
    session = onnxruntime.InferenceSession(exported.graph, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": x[:13]})[0], model.predict_proba(x[:13]), atol=1e-5)


def test_the_zip_map_of_skl2onnx_becomes_its_scores(cancer: Any) -> None:
    """A list of maps from class to score becomes the tensor of the scores, and the note names the classes."""
    x, model = cancer
    exported = from_onnx(convert(model), split_of({"x": x[:20]}), ("output_probability",))
    session = onnxruntime.InferenceSession(exported.graph, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": x[:13]})[0], model.predict_proba(x[:13]), atol=1e-5)
    assert "its scores are those of 0, 1" in str(exported.notes[0]["changes"])


def test_a_sequence_of_another_operator_is_not_said_to_be_a_zip_map(rows: Split) -> None:
    """The error for another sequence asks for other outputs and does not recommend a new conversion."""
    sequence = onnx.load_from_string(graph(helper.make_node("SequenceConstruct", ["x"], ["y"])))
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, ["batch", 2]))
    sequence.graph.output[0].CopyFrom(helper.make_value_info("y", kind))
    with pytest.raises(ExportFailed, match="'y' is a sequence, not a tensor; name other outputs"):
        from_onnx(bytes(sequence.SerializeToString()), rows, ("y",))


def test_every_first_dimension_is_the_batch(rows: Split) -> None:
    """The first dimension is named `batch`, whatever the converter called it."""
    signature = from_onnx(graph(times("x", "y"), x=[None, 2], y=["unk__123", 2]), rows, ("y",)).signature
    assert [spec.shape for spec in (*signature.inputs, *signature.outputs)] == [("batch", 2), ("batch", 2)]
    assert signature.batches


@pytest.mark.parametrize(("came", "name"), [("width", "width"), (None, "x_1"), ("batch", "x_1")])
def test_a_second_free_dimension_has_a_name_of_its_own(rows: Split, came: Any, name: str) -> None:
    """A second free dimension keeps the file's name or gets one, and outputs of the same size share it."""
    exported = from_onnx(
        graph(helper.make_node("Relu", ["x"], ["y"]), x=["batch", came], y=["batch", came]), rows, ("y",)
    )
    assert exported.signature.inputs[0].shape == ("batch", name)
    assert (
        onnx.load_from_string(exported.graph).graph.input[0].type.tensor_type.shape.dim[1].dim_param == name
    )


def test_padded_tokens_are_free() -> None:
    """The length of texts is the free dimension `tokens` in inputs and outputs."""
    lengths = {"calibration": (12, 8, 3), "search": (2, 4), "held_out": (5, 6)}
    masks = {name: np.array([[1] * n + [0] * (12 - n) for n in some]) for name, some in lengths.items()}
    raw = {
        name: ({"x": mask.astype(np.float32), "attention_mask": mask}, None) for name, mask in masks.items()
    }
    split = read_data(raw, "make").calibration
    value = helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["N", "S"])
    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "m"], ["y"]),
    ]
    model = onnx.load_from_string(graph(*nodes, x=["N", "S"], y=[None, None]))
    model.graph.input.append(value)
    signature = from_onnx(model.SerializeToString(), split, ("y",)).signature
    assert {spec.shape for spec in (*signature.inputs, *signature.outputs)} == {("batch", "tokens")}


def test_only_the_outputs_asked_for_remain(rows: Split) -> None:
    """The graph keeps the requested outputs in the recipe's order and drops nodes that they do not need."""
    content = graph(
        times("x", "y"),
        times("y", "y2"),
        times("x2", "y3"),
        x2=["batch", 2],
        y2=["batch", 2],
        y3=["batch", 2],
    )
    exported = from_onnx(content, rows, ("y2", "y"))
    assert exported.signature.output_names == ("y2", "y")
    assert len(onnx.load_from_string(exported.graph).graph.node) == 2


def test_a_branch_keeps_what_it_reads(rows: Split) -> None:
    """A value that only an inner graph reads is kept."""
    inner = [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)]
    branch = helper.make_graph([helper.make_node("Relu", ["h"], ["z"])], "branch", [], inner)
    flag = helper.make_node("Constant", [], ["flag"], value=numpy_helper.from_array(np.array(True)))
    nodes = [
        times("x", "h"),
        flag,
        helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch),
    ]
    exported = from_onnx(graph(*nodes), rows, ("y",))
    assert len(onnx.load_from_string(exported.graph).graph.node) == 3


def test_the_bytes_are_the_same_each_time(rows: Split) -> None:
    """Two exports of the same file give the same bytes."""
    content = graph(times("x", "y"), times("y", "y2"), y2=["batch", 2])
    assert from_onnx(content, rows, ("y2",)).graph == from_onnx(content, rows, ("y2",)).graph


def constant(*values: int) -> Any:
    """These numbers, as the value `shape`."""
    return helper.make_node(
        "Constant", [], ["shape"], value=numpy_helper.from_array(np.array(values, np.int64))
    )


@pytest.mark.parametrize(
    ("content", "outputs", "message"),
    [
        (graph(times("x", "y")), ("z",), "no output 'z'; known: y"),
        (
            graph(helper.make_node("Softmax", ["x"], ["y"], axis=0), x=[2, 2]),
            ("y",),
            r"takes 2 rows at once \(its input 'x'\), and no other number: .* away from.*; look for",
        ),
        (graph(times("x", "y"), x=["batch", 3]), ("y",), r"shape \['batch', 3\]"),
        (graph(times("x", "y"), x=["batch", 2, 1]), ("y",), r"shape \['batch', 2, 1\]"),
        (
            graph(constant(1, -1), helper.make_node("Reshape", ["x", "shape"], ["y"]), y=["batch", None]),
            ("y",),
            "does not follow the batch; convert the model again",
        ),
        (
            graph(helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0), y=[]),
            ("y",),
            "does not follow the batch",
        ),
        (
            graph(constant(2, 2), helper.make_node("Reshape", ["x", "shape"], ["y"])),
            ("y",),
            "onnxruntime cannot run the file on 1 rows",
        ),
        (
            graph(helper.make_node("Neg", ["x"], ["n"]), helper.make_node("Log", ["n"], ["y"])),
            ("y",),
            "is NaN",
        ),
        (
            graph(helper.make_node("Add", ["x", "x2"], ["y"]), x2=["batch", 2]),
            ("y",),
            "takes x, x2, the data has x",
        ),
    ],
    ids=["output", "batch", "width", "rank", "silent batch of one", "sum", "fixed inside", "NaN", "inputs"],
)
def test_refuses_what_does_not_serve(
    rows: Split, content: bytes, outputs: tuple[str, ...], message: str
) -> None:
    """A file that cannot answer rows is refused with the fix."""
    with pytest.raises(ExportFailed, match=message):
        from_onnx(content, rows, outputs)


def test_refuses_another_datatype() -> None:
    """Data of another datatype is refused, and the error gives the conversion."""
    with pytest.raises(
        ExportFailed, match=r"'x' is float32, the data's is float64; convert it: astype\('float32'\)"
    ):
        from_onnx(graph(times("x", "y")), split_of({"x": np.arange(8.0).reshape(4, 2)}), ("y",))


def test_an_input_that_only_names_a_weight_is_none(rows: Split) -> None:
    """An input that has a weight as its default is not an input of the signature."""
    model = onnx.load_from_string(graph(times("x", "y")))
    model.graph.input.append(helper.make_tensor_value_info("weight", TensorProto.FLOAT, [2, 2]))
    exported = from_onnx(model.SerializeToString(), rows, ("y",))
    assert [spec.name for spec in exported.signature.inputs] == ["x"]
