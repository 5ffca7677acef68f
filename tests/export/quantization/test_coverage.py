"""The account of a quantization says how much became integers, and what did not, and why."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.errors import StepFailed
from export.step import Quantize
from export.steps.quantize import quantize
from tests.export.graphs import (
    Builder,
    context_for,
    encoder_graph,
    exported_of,
    images,
    lstm_graph,
    split_of,
    texts,
    value,
)
from tests.export.quantization.graph_kinds import KINDS


def note_of(graph: bytes, rows: Any, folder: Path, **settings: Any) -> dict[str, Any]:
    """What the step notes."""
    context = context_for("embedding", rows, rows, folder)
    step = Quantize.model_validate({"step": "quantize", **settings})
    return dict(quantize(exported_of(graph), step, context).notes[-1])


def random_rows(shape: tuple[int, ...]) -> Any:
    """Rows of numbers around 0."""
    return split_of({"x": np.random.default_rng(0).normal(0, 1, (24, *shape)).astype(np.float32)})


def big_and_small() -> bytes:
    """A convolution that does nearly all the work, and a head."""
    build = Builder()
    h = build.add("Conv", "image", build.weight("body.weight", 32, 1, 5, 5), pads=[2] * 4)
    h = build.add("Flatten", build.add("GlobalAveragePool", build.add("Relu", h)))
    build.add("MatMul", h, build.weight("head.weight", 32, 2, scale=1), output="y")
    given = [value("image", TensorProto.FLOAT, "batch", 1, 8, 8)]
    return build.finish(given, [value("y", TensorProto.FLOAT, "batch", 2)])


def test_a_variant_with_few_integers_is_called_mostly_float(tmp_path: Path) -> None:
    """A dynamic variant whose convolutions stay floats is called mostly float, with its shares."""
    note = note_of(big_and_small(), images(24, 0), tmp_path, method="dynamic")
    assert note["integers"] == {"weight_bytes": round(64 / 864, 6), "multiply_adds": round(64 / 51264, 6)}
    assert note["stays_float"] == {"`method: dynamic` has no integers for Conv; static has": ["body"]}
    assert note["mostly_float"] == (
        "integers are 7.41% of the bytes of weights and do 0.12% of the multiply-adds"
    )


def test_a_variant_of_integers_is_not(tmp_path: Path) -> None:
    """A static variant with all layers as integers has no such remark."""
    note = note_of(big_and_small(), images(24, 0), tmp_path, method="static")
    assert note["integers"] == {"weight_bytes": 1.0, "multiply_adds": 1.0}
    assert note["stays_float"] == {}
    assert "mostly_float" not in note


def test_a_table_of_words_does_no_work(tmp_path: Path) -> None:
    """An encoder whose table stays float is called mostly float by its bytes, although it computes with
    integers."""
    note = note_of(encoder_graph(1), texts(24, 0), tmp_path, method="dynamic")
    assert note["integers"]["weight_bytes"] < 0.5 < note["integers"]["multiply_adds"]
    assert "of the bytes of weights" in note["mostly_float"]
    assert note["stays_float"]["`embeddings: false`"] == ["embeddings.word"]
    assert len(note["stays_float"]["both factors depend on the row"]) == 3
    with_words = note_of(encoder_graph(1), texts(24, 0), tmp_path, method="dynamic", embeddings=True)
    assert with_words["integers"]["weight_bytes"] > 0.9
    assert "mostly_float" not in with_words


@pytest.mark.parametrize("method", ["static", "dynamic"])
def test_a_file_of_floats_is_called_mostly_float_whatever_it_computes(method: str, tmp_path: Path) -> None:
    """A variant with a large float table is called mostly float, although all its products are integers."""
    build = Builder()
    rows = build.add("Gather", build.weight("table.weight", 10_000, 16), "ids")
    build.constant("axis", np.array([1], np.int64))
    h = build.add("ReduceMean", rows, "axis", keepdims=0)
    build.add("MatMul", h, build.weight("head.weight", 16, 5), output="y")
    given = [value("ids", TensorProto.INT64, "batch", 8)]
    graph = build.finish(given, [value("y", TensorProto.FLOAT, "batch", 5)])
    ids = split_of({"ids": np.random.default_rng(0).integers(0, 10_000, (24, 8))})
    note = note_of(graph, ids, tmp_path, method=method)
    assert note["integers"] == {"weight_bytes": round(80 / 160_080, 6), "multiply_adds": 1.0}
    assert note["mostly_float"].startswith("integers are 0.05% of the bytes of weights")


def test_integers_that_are_only_stored_are_judged_by_their_bytes(tmp_path: Path) -> None:
    """With weights alone as integers, the note says that most bytes stay floats."""
    note = note_of(encoder_graph(1), texts(24, 0), tmp_path, method="weights")
    assert note["mostly_float"].startswith("integers are 2")


def test_a_recurrent_layer_is_named_with_the_method_that_takes_it(tmp_path: Path) -> None:
    """The note says that static has no integers for an LSTM and dynamic does."""
    steps = split_of({"steps": np.random.default_rng(0).normal(0, 1, (24, 5, 6)).astype(np.float32)})
    note = note_of(lstm_graph(), steps, tmp_path, method="static")
    assert note["stays_float"] == {"`method: static` has no integers for LSTM; dynamic has": ["node_lstm"]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"keep_float": ("two",)}, "`keep_float`"),
        ({"weights": "uint8"}, "its quantized answers differ by more than rounding explains"),
    ],
    ids=["by the recipe", "by the trial"],
)
def test_what_was_left_is_named_by_its_reason(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    """Layers that stay float are listed by their reason: the recipe's setting or the trial."""
    graph, shape = KINDS["clip_with_a_floor" if reason == "`keep_float`" else "bias_that_overflows"]()
    note = note_of(graph, random_rows(shape), tmp_path, method="static", **change)
    assert list(note["stays_float"]) == [reason]
    assert note["stays_float"][reason] == note["kept_float"]


def test_a_softmax_keeps_no_convolution_float(tmp_path: Path) -> None:
    """A softmax between convolutions does not keep these in float."""
    graph, shape = KINDS["softmax_between_convolutions"]()
    note = note_of(graph, random_rows(shape), tmp_path, method="static")
    assert note["integers"]["multiply_adds"] == 1.0
    assert note["kept_float"] == []


def tied(operator: str) -> bytes:
    """Rows of a table, and scores of all its rows, by the same matrix."""
    build = Builder()
    table = build.weight("table.weight", 300, 16)
    build.constant("axis", np.array([1], np.int64))
    h = build.add("ReduceMean", build.add("Gather", table, "ids"), "axis", keepdims=0)
    h = build.add("MatMul", h, build.weight("body.weight", 16, 16))
    if operator == "Gemm":
        build.add("Gemm", h, table, output="y", transB=1)
    else:
        build.add("MatMul", h, build.add("Transpose", table, perm=[1, 0]), output="y")
    given = [value("ids", TensorProto.INT64, "batch", 7)]
    return build.finish(given, [value("y", TensorProto.FLOAT, "batch", 300)])


@pytest.mark.parametrize("operator", ["Gemm", "MatMul"])
@pytest.mark.parametrize("method", ["static", "dynamic", "weights"])
def test_a_table_that_multiplies_too_is_in_the_file_twice(operator: str, method: str, tmp_path: Path) -> None:
    """A table that is also a factor is stored in both forms without `embeddings: true`, and the note says
    so."""
    rows = split_of({"ids": np.random.default_rng(0).integers(0, 300, (24, 7))})
    note = note_of(tied(operator), rows, tmp_path, method=method)
    assert note["integers"]["weight_bytes"] == round(5056 / 9856, 6)
    [(reason, names)] = note["stays_float"].items()
    assert names == ["table"]
    assert reason == (
        "`embeddings: false`: the file holds the table in floats for its rows, and once more in integers for "
        "node_y; with `embeddings: true` both are integers"
    )
    whole = note_of(tied(operator), rows, tmp_path, method=method, embeddings=True)
    assert whole["integers"]["weight_bytes"] == 1
    assert whole["stays_float"] == {}


def with_branches(outer: bool) -> bytes:
    """A product, or none, in front of an If of which each branch has a product and a large table."""
    build = Builder()
    if outer:
        build.add("MatMul", "x", build.weight("outer", 8, 8), output="h")
    else:
        build.add("Relu", "x", output="h")
    inner = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    held = [
        numpy_helper.from_array(np.eye(8, dtype=np.float32), "inner"),
        numpy_helper.from_array(np.ones((512, 8), np.float32), "table"),
    ]
    nodes = [
        helper.make_node("Gather", ["table", "largest"], ["row"], "lookup"),
        helper.make_node("MatMul", ["h", "inner"], ["product"], "product"),
        helper.make_node("Mul", ["row", "product"], ["z"], "both"),
    ]
    branches = {
        name: helper.make_graph(nodes, name, [], [inner], held) for name in ("then_branch", "else_branch")
    }
    build.add("ArgMax", "x", output="largest", axis=1, keepdims=0)
    build.constant("zero", np.float32(0))
    above = build.add("Greater", build.add("ReduceMax", "x", keepdims=0), "zero")
    build.nodes.append(helper.make_node("If", [above], ["y"], "if", **branches))
    given = [value("x", TensorProto.FLOAT, "batch", 8)]
    return build.finish(given, [value("y", TensorProto.FLOAT, "batch", 8)])


@pytest.mark.parametrize("method", ["static", "dynamic", "weights"])
def test_weights_of_graphs_inside_nodes_count_as_floats(method: str, tmp_path: Path) -> None:
    """Weights in graphs inside nodes stay floats and are named in the note."""
    note = note_of(with_branches(True), random_rows((8,)), tmp_path, method=method)
    assert note["integers"]["weight_bytes"] == pytest.approx(64 / 8384, abs=1e-4)
    # The outer product and the product of the branch that runs have the same size.
    assert note["integers"]["multiply_adds"] == 0.5
    assert note["stays_float"] == {
        "it is in a graph inside If 'if'": ["lookup", "product", "lookup", "product"]
    }


def test_a_graph_whose_layers_all_stand_inside_nodes_is_refused_with_the_reason(tmp_path: Path) -> None:
    """A graph whose layers are all inside nodes is refused with the reason."""
    with pytest.raises(StepFailed, match="4 more: it is in a graph inside If 'if'"):
        note_of(with_branches(False), random_rows((8,)), tmp_path, method="static")


@pytest.mark.parametrize("method", ["static", "weights"])
def test_weights_of_float64_count_by_their_bytes(method: str, tmp_path: Path) -> None:
    """Weights in float64 count by their bytes, and their layer is named with the reason."""
    build = Builder()
    h = build.add("MatMul", "x", build.weight("single.weight", 8, 8))
    build.constant("double.weight", np.random.default_rng(0).normal(0, 1, (8, 8)))
    h = build.add("MatMul", build.add("Cast", h, to=int(TensorProto.DOUBLE)), "double.weight")
    build.add("Cast", h, output="y", to=int(TensorProto.FLOAT))
    given = [value("x", TensorProto.FLOAT, "batch", 8)]
    graph = build.finish(given, [value("y", TensorProto.FLOAT, "batch", 8)])
    note = note_of(graph, random_rows((8,)), tmp_path, method=method)
    assert note["integers"]["weight_bytes"] == round(256 / 768, 6)
    assert note["mostly_float"].startswith("integers are 33.33% of the bytes of weights")
    assert note["stays_float"] == {
        "its weights are float64, and only float32 ones become integers": ["double"]
    }
