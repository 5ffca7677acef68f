"""Neurons with far larger values than others are split into several."""

import onnx

from export.quantization.calibration import find_extents
from export.rewrites.outliers import find_activations, split_outliers
from export.training.answers import graph_answers
from tests.export.graphs import encoder_graph, mean_cosine, outlying_graph, prepared, texts

ROWS = texts(32, 0)


def test_one_neuron_of_each_layer_is_split() -> None:
    """One neuron of each layer is split, and the layer is filled to a multiple of 16 neurons."""
    model = prepared(outlying_graph())
    assert split_outliers(model, find_extents(model, find_activations(model), ROWS)) == 2
    dims = {item.name: list(item.dims) for item in model.graph.initializer}
    assert dims["encoder.layer.0.intermediate.dense.bias"] == [48]
    onnx.checker.check_model(model, full_check=True)


def test_the_answers_are_nearly_the_same() -> None:
    """Splitting outliers keeps the cosine to the original answers above 0.999."""
    model = prepared(outlying_graph())
    split_outliers(model, find_extents(model, find_activations(model), ROWS))
    came, wanted = (graph_answers(graph, ROWS) for graph in (model.SerializeToString(), outlying_graph()))
    assert mean_cosine(came, wanted) > 0.999


def test_what_follows_sees_no_outlier() -> None:
    """The largest value after each Gelu falls to less than half."""
    model = prepared(outlying_graph())
    names = find_activations(model)
    before = find_extents(model, names, ROWS)
    split_outliers(model, before)
    after = find_extents(model, tuple(f"{name}_clipped" for name in names), ROWS)
    for name in names:
        assert after[f"{name}_clipped"][1].max() < before[name][1].max() / 2


def test_even_neurons_stay() -> None:
    """A graph without outliers is not changed."""
    model = prepared(encoder_graph())
    before = model.SerializeToString()
    assert split_outliers(model, find_extents(model, find_activations(model), ROWS)) == 0
    assert model.SerializeToString() == before
