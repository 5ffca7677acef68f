"""A model becomes one file if its weights fit, and otherwise two; both are the same model."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.onnx.graph import clean
from export.onnx.model_proto import (
    check_model,
    copy_model,
    fill,
    infer_shapes,
    load,
    make_graph,
    open_model,
    take_written,
)
from export.onnx.stored_tensor import read_array
from serve.bundles.bundle import MODEL, WEIGHTS
from serve.bundles.graph_session import open_graph
from serve.bundles.onnx_graph import SplitGraph, write_graph
from tests.export.graphs import encoder_graph, texts

LIMIT = "export.onnx.model_proto.LARGEST_BYTES"


@pytest.fixture(autouse=True)
def low_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs with more than 4 kB of weights are split."""
    monkeypatch.setattr(LIMIT, 4096)


@pytest.fixture
def split() -> SplitGraph:
    """The encoder in two files."""
    graph = make_graph(onnx.load_from_string(encoder_graph()))
    assert isinstance(graph, SplitGraph)
    return graph


def answer(session: Any) -> Any:
    """The answer to three texts."""
    return session.run(None, dict(texts(3, 1).inputs))[0]


def test_a_split_graph_answers_as_the_whole_one(split: SplitGraph) -> None:
    """The weights in the second file are those of the model."""
    np.testing.assert_array_equal(answer(open_graph(split)), answer(open_graph(encoder_graph())))
    assert len(split.content) < len(encoder_graph()) / 2


def test_a_split_graph_with_its_data_is_the_same_model(split: SplitGraph) -> None:
    """No field is lost on the way to two files and back."""
    assert fill(load(split)) == onnx.load_from_string(encoder_graph())


def test_the_model_stays_as_it_is(split: SplitGraph) -> None:
    """Making a graph does not change the model, whose data is in a file or not."""
    whole, light = onnx.load_from_string(encoder_graph()), load(split)
    before = copy_model(light)
    make_graph(whole)
    make_graph(light)
    assert whole == onnx.load_from_string(encoder_graph())
    assert light == before


def test_the_same_model_makes_the_same_files(split: SplitGraph) -> None:
    """A model whose data is in a file gives the same two files as one that has its data."""
    again = make_graph(load(split))
    assert isinstance(again, SplitGraph)
    assert again.content == split.content
    assert again.weights.path.read_bytes() == split.weights.path.read_bytes()
    assert again.weights.path != split.weights.path


def test_a_model_that_fits_again_becomes_one_file(split: SplitGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the limit, the file is byte for byte what it was before it was split."""
    light = load(split)
    monkeypatch.setattr(LIMIT, 2**31)
    assert make_graph(light) == encoder_graph()


def test_a_model_opens_without_writing_its_weights_again(
    split: SplitGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy with another output, as calibration makes it, reads the weights where they are."""
    light = load(split)
    light.graph.output.append(onnx.ValueInfoProto(name=light.graph.node[0].output[0]))
    monkeypatch.setattr("export.onnx.model_proto.make_graph", None)
    np.testing.assert_array_equal(answer(open_model(light)), answer(open_graph(split)))


def test_a_changed_weight_counts(split: SplitGraph) -> None:
    """A weight that was set in the model is written beside those that stay in the file."""
    light = load(split)
    table = next(item for item in light.graph.initializer if item.name == "embeddings.word.weight")
    table.CopyFrom(numpy_helper.from_array(2 * read_array(table), table.name))
    changed = make_graph(light)
    again = load(changed)
    doubled = next(item for item in again.graph.initializer if item.name == table.name)
    np.testing.assert_array_equal(read_array(doubled), read_array(table))
    assert not np.array_equal(answer(open_model(light)), answer(open_graph(split)))


def test_shapes_are_inferred_without_the_data(split: SplitGraph) -> None:
    """A model gets the shapes of the whole one and keeps its data, in the model or in a file."""
    whole, light = onnx.load_from_string(encoder_graph()), load(split)
    for model in (whole, light):
        del model.graph.value_info[:]
    expected = onnx.shape_inference.infer_shapes(whole).graph.value_info
    assert len(expected) > 20
    for model in (whole, light):
        inferred = infer_shapes(model)
        assert list(inferred.graph.value_info) == list(expected)
        del inferred.graph.value_info[:]
        assert inferred == model


def test_an_unsound_model_is_told(split: SplitGraph) -> None:
    """The checker reads both files."""
    model = load(split)
    check_model(model, split)
    model.graph.node[0].op_type = "Nothing"
    with pytest.raises(onnx.checker.ValidationError, match="Nothing"):
        clean(model)


def test_written_files_are_taken(split: SplitGraph, tmp_path: Path) -> None:
    """A graph that was written to a folder is moved from there."""
    (tmp_path / "folder").mkdir()
    write_graph(split, tmp_path / "folder" / MODEL)
    again = take_written(tmp_path / "folder" / MODEL)
    assert not (tmp_path / "folder" / WEIGHTS).exists()
    np.testing.assert_array_equal(answer(open_graph(again)), answer(open_graph(split)))


@pytest.mark.parametrize("kind", [onnx.TensorProto.BFLOAT16, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT4])
def test_numbers_of_every_size_are_read(kind: int) -> None:
    """Numbers of 16 and of 4 bits come back from the file."""
    values = np.arange(12000, dtype=np.float32).reshape(2, -1) % 7
    tensor = onnx.helper.make_tensor("w", kind, values.shape, values.flatten().tolist())
    expected = numpy_helper.to_array(tensor)
    graph = onnx.helper.make_graph([], "g", [], [], [tensor])
    made = make_graph(onnx.helper.make_model(graph))
    assert isinstance(made, SplitGraph)
    (stored,) = load(made).graph.initializer
    assert not stored.raw_data
    np.testing.assert_array_equal(read_array(stored), expected)


def test_weights_inside_nodes_go_to_the_file() -> None:
    """The branches of an If have their weights in the second file, too."""
    weight = numpy_helper.from_array(np.ones((40, 40), np.float32), "w")
    value = onnx.helper.make_tensor_value_info
    output = value("y", onnx.TensorProto.FLOAT, [40, 40])
    branch = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["w"], ["y"])], "b", [], [output], [weight]
    )
    node = onnx.helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch)
    answer = value("z", onnx.TensorProto.FLOAT, [40, 40])
    graph = onnx.helper.make_graph([node], "g", [value("c", onnx.TensorProto.BOOL, [])], [answer])
    imports = [onnx.helper.make_opsetid("", 18)]
    made = make_graph(onnx.helper.make_model(graph, opset_imports=imports, ir_version=9))
    assert isinstance(made, SplitGraph)
    assert len(made.content) < 1600
    assert open_graph(made).run(None, {"c": np.array(True)})[0].sum() == 1600
