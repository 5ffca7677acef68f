"""The trial of a quantized graph lets rounding pass, and nothing else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from export.data.datasets import Split
from export.errors import StepFailed
from export.progress import keep_silent
from export.quantization.calibration import calibrate
from export.quantization.dynamic import make_dynamic
from export.quantization.float_layers import find_untrue
from export.quantization.layers import Layer, find_layers
from export.quantization.operator_trial import TrialPlan, find_misses
from export.quantization.prepare import split_gemms
from export.quantization.static import activations, find_pairs, make_static
from export.quantization.weight_only import make_weights
from export.step import Quantize
from export.steps.quantize import quantize
from tests.export.graphs import (
    Builder,
    context_for,
    conv_graph,
    encoder_graph,
    exported_of,
    images,
    lstm_graph,
    prepared,
    split_of,
    texts,
    value,
)

Case = tuple[TrialPlan, tuple[Layer, ...], Split]


def static_case(graph: bytes, rows: Split, operators: tuple[str, ...]) -> Case:
    """A plan with ranges from these rows."""
    settings = Quantize(step="quantize", method="static")
    model = prepared(graph) if operators != ("MatMul",) else split_gemms(prepared(graph))
    layers = find_layers(model, operators)
    names = [layer.node for layer in layers]
    ranges = calibrate(model, activations(model, names), rows, settings).ranges
    others = frozenset(find_pairs(model, names)) - set(names)

    def make(chosen: Any, left: Any) -> Any:
        return make_static(model, [layer.node for layer in chosen], left, ranges, settings)

    return TrialPlan(model=model, settings=settings, ranges=ranges, others=others, make=make), layers, rows


def free_case(graph: bytes, rows: Split, method: str) -> Case:
    """A plan in which each input comes with its own range."""
    settings = Quantize.model_validate({"step": "quantize", "method": method})
    model = split_gemms(prepared(graph))
    layers = find_layers(model, ("MatMul", "LSTM") if method == "dynamic" else ("MatMul",))

    def make(chosen: Any, left: Any) -> Any:
        names = [layer.node for layer in chosen]
        return make_dynamic(model, names, settings) if method == "dynamic" else make_weights(model, names, 8)

    plan = TrialPlan(model=model, settings=settings, ranges={}, others=frozenset(), make=make)
    return plan, layers, rows


def steps() -> Split:
    """Rows for the LSTM."""
    return split_of({"steps": np.random.default_rng(0).normal(0, 1, (24, 5, 6)).astype(np.float32)})


CASES = {
    "convolutions": lambda: static_case(conv_graph(), images(32, 0), ("Conv", "Gemm")),
    "attention": lambda: static_case(encoder_graph(1), texts(32, 0), ("MatMul",)),
    "dynamic": lambda: free_case(encoder_graph(1), texts(32, 0), "dynamic"),
    "recurrent": lambda: free_case(lstm_graph(), steps(), "dynamic"),
    "weights": lambda: free_case(encoder_graph(1), texts(32, 0), "weights"),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    """Each form that integers have."""
    return CASES[request.param]()


def spoilt(model: Any, changed: Any) -> Iterator[tuple[str, Any]]:
    """The quantized model with one of its constants changed, for each constant that differs by it."""
    for index, constant in enumerate(model.graph.initializer):
        array = numpy_helper.to_array(constant)
        other = changed(constant.name, array)
        if other is not None and not np.array_equal(other, array):
            copied = type(model)()
            copied.CopyFrom(model)
            copied.graph.initializer[index].CopyFrom(numpy_helper.from_array(other, constant.name))
            yield constant.name, copied


def test_rounding_passes(case: Case) -> None:
    """A quantized graph without a fault has no misses."""
    plan, layers, rows = case
    assert find_misses(plan, plan.make(layers, ()), layers, rows) == []


def test_a_wrong_scale_of_weights_is_found(case: Case) -> None:
    """A doubled scale of any layer's weights is found."""
    plan, layers, rows = case
    quantized = plan.make(layers, ())
    weights = tuple(name for layer in layers for name in layer.weights)

    def doubled(name: str, array: Any) -> Any:
        return array * 2 if name.startswith(weights) and name.endswith(("_scale", "_scales")) else None

    found = {name: find_misses(plan, model, layers, rows) for name, model in spoilt(quantized, doubled)}
    assert found
    assert [name for name, misses in found.items() if not misses] == []


@pytest.mark.parametrize("part", [1, 2], ids=["scale", "zero point"])
def test_a_wrong_range_of_inputs_is_found(case: Case, part: int) -> None:
    """A scale that is divided by eight or a moved zero point is found."""
    plan, layers, rows = case
    quantized = plan.make(layers, ())
    names = {node.input[part] for node in quantized.graph.node if node.op_type == "QuantizeLinear"}

    def moved(name: str, array: Any) -> Any:
        if name not in names:
            return None
        return array / 8 if part == 1 else array.dtype.type(255 if array < 128 else 0)

    found = {name: find_misses(plan, model, layers, rows) for name, model in spoilt(quantized, moved)}
    assert [name for name, misses in found.items() if not misses] == []


def test_weights_in_another_order_are_found(case: Case) -> None:
    """Integers of a weight in another order are found."""
    plan, layers, rows = case
    quantized = plan.make(layers, ())

    def turned(name: str, array: Any) -> Any:
        return (
            np.roll(array, 1, axis=-1)
            if name.endswith(("_quantized", "_blocks")) and array.ndim > 1
            else None
        )

    found = {name: find_misses(plan, model, layers, rows) for name, model in spoilt(quantized, turned)}
    assert found
    assert [name for name, misses in found.items() if not misses] == []


def test_a_lost_bias_is_found_beside_large_ones() -> None:
    """A missing bias of one channel is found, even beside larger ones."""
    plan, layers, rows = static_case(conv_graph(), images(32, 0), ("Conv", "Gemm"))
    quantized = plan.make(layers, ())

    def lost(name: str, array: Any) -> Any:
        if name != "features.0.bias_quantized":
            return None
        other = array.copy()
        other[np.argmax(np.abs(array))] = 0
        return other

    ((_, model),) = spoilt(quantized, lost)
    assert [miss.nodes for miss in find_misses(plan, model, layers, rows)] == [{"node_conv_0"}]


def test_a_layer_that_misses_stays_in_float_by_name() -> None:
    """A layer whose quantization is wrong stays in float, and the others become integers."""
    plan, layers, rows = static_case(conv_graph(), images(32, 0), ("Conv", "Gemm"))

    def faulty(chosen: Any, left: Any) -> Any:
        made = plan.make(chosen, left)
        for constant in made.graph.initializer:
            if constant.name == "features.1.weight_scale":
                constant.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(constant) * 2, constant.name))
        return made

    broken = TrialPlan(
        model=plan.model, settings=plan.settings, ranges=plan.ranges, others=plan.others, make=faulty
    )
    untrue = find_untrue(broken, layers, rows, keep_silent)
    assert list(untrue) == ["node_conv_2"]
    assert "times as far off as rounding explains in 'relu_3'" in untrue["node_conv_2"]


def chain(count: int) -> bytes:
    """So many layers, one after the other."""
    build = Builder()
    last = "x"
    for number in range(count):
        last = build.add("Relu", build.add("MatMul", last, build.weight(f"w{number}", 8, 8)))
    build.add("MatMul", last, build.weight("w", 8, 8), output="y")
    x, y = (value(name, TensorProto.FLOAT, "batch", 8) for name in ("x", "y"))
    return build.finish([x], [y])


def test_a_fault_that_moves_on_ends_after_few_trials() -> None:
    """If each layer that becomes float spoils the next one, its neighbours become float, too, so that 20
    layers need 7 trials; what was right before is not tried again."""
    rows = split_of({"x": np.random.default_rng(0).normal(0, 1, (24, 8)).astype(np.float32)})
    plan, layers, _ = free_case(chain(20), rows, "weights")
    tried: list[int] = []

    def faulty(chosen: Any, left: Any) -> Any:
        tried.append(len(chosen))
        made = plan.make(chosen, left)
        first = next(layer.weights[0] for layer in chosen)
        for constant in made.graph.initializer:
            if constant.name.startswith(f"{first}_") and constant.data_type == TensorProto.FLOAT:
                constant.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(constant) * 2, constant.name))
        return made

    broken = TrialPlan(model=plan.model, settings=plan.settings, ranges={}, others=frozenset(), make=faulty)
    with pytest.raises(StepFailed, match="no layer answers in integers"):
        find_untrue(broken, layers, rows, keep_silent)
    assert tried == [21, 20, 19, 18, 15, 10, 1]


def test_what_rounding_ruins_stays_in_float(tmp_path: Path) -> None:
    """A matrix whose small weights would all be rounded to 0 stays in float, and another one becomes
    integers."""
    build = Builder()
    build.add("MatMul", "x", build.weight("w", 16, 5, scale=1), output="first")
    rows = np.random.default_rng(1).normal(0, 1, (40, 16)).astype(np.float32)
    rows[:, 0] *= 1e-5
    weight = np.random.default_rng(0).normal(0, 1, (16, 3)).astype(np.float32)
    weight[0] *= 1e4
    build.add("MatMul", "x", build.constant("v", weight), output="second")
    graph = build.finish(
        [value("x", TensorProto.FLOAT, "batch", 16)],
        [value("first", TensorProto.FLOAT, "batch", 5), value("second", TensorProto.FLOAT, "batch", 3)],
    )
    context = context_for("embedding", split_of({"x": rows}), split_of({"x": rows}), tmp_path)
    settings = Quantize(step="quantize", method="dynamic", per_channel=False)
    (note,) = quantize(exported_of(graph), settings, context).notes
    assert note["kept_float"] == ["node_second"]
    assert note["left_float"] == {"node_second": "loses 100% of its size to rounding in 'second'"}


def test_a_value_that_is_given_out_is_no_relus() -> None:
    """A convolution whose result is an output is not fused with the Relu after it."""
    build = Builder()
    build.add("Conv", "x", build.weight("w", 4, 3, 3, 3), output="z")
    build.add("Conv", build.add("Relu", "z"), build.weight("v", 4, 4, 1, 1), output="y")
    graph = build.finish(
        [value("x", TensorProto.FLOAT, "batch", 3, 6, 6)],
        [value("y", TensorProto.FLOAT, "batch", 4, 4, 4), value("z", TensorProto.FLOAT, "batch", 4, 4, 4)],
    )
    rows = split_of({"x": np.random.default_rng(0).normal(0, 1, (24, 3, 6, 6)).astype(np.float32)})
    plan, layers, _ = static_case(graph, rows, ("Conv",))
    assert find_misses(plan, plan.make(layers, ()), layers, rows) == []
    (model,) = [onnx.load_from_string(plan.make(layers, ()).SerializeToString())]
    assert [node.op_type for node in model.graph.node].count("Relu") == 1


def test_a_value_behind_a_sequence_is_compared() -> None:
    """A sequence is not compared, and the tensor that is taken from it is: a lost bias shows behind it."""
    build = Builder()
    hidden = build.add("Relu", build.add("MatMul", "x", build.weight("w1", 16, 64)))
    logits = build.add("Add", build.add("MatMul", hidden, build.weight("w2", 64, 5)), build.weight("bias", 5))
    parts = build.add("SplitToSequence", logits, axis=1)
    build.add("SequenceAt", parts, build.constant("second", np.array(1)), output="y")
    graph = build.finish([value("x", TensorProto.FLOAT, "n", 16)], [value("y", TensorProto.FLOAT, "n", 1)])
    rows = split_of({"x": np.random.default_rng(0).normal(0, 1, (24, 16)).astype(np.float32)})
    plan, layers, rows = static_case(graph, rows, ("MatMul",))
    quantized = plan.make(layers, ())
    assert not find_misses(plan, quantized, layers, rows)
    for item in quantized.graph.initializer:
        if item.name.startswith("bias"):
            item.CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(item)), item.name))
    assert find_misses(plan, quantized, layers, rows)
