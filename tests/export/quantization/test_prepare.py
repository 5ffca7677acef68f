"""A prepared graph gives the same answers and has the form that quantization needs."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from export.proof.parameter_count import count_parameters
from export.quantization.added_names import separate
from export.quantization.prepare import split_gemms
from tests.export.graphs import Builder, prepared, value

ROWS = np.random.default_rng(0).normal(0, 1, (3, 6)).astype(np.float32)


def answer(graph: bytes) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(graph)
    came: NDArray[np.float32] = session.run(None, {"x": ROWS})[0]
    return came


def gemm(bias: NDArray[np.float32] | None = None, **attributes: Any) -> bytes:
    """x times a weight [6, 4], or its transpose."""
    build = Builder()
    shape = (4, 6) if attributes.get("transB") else (6, 4)
    inputs = ["x", build.weight("weight", *shape)]
    if bias is not None:
        inputs.append(build.constant("bias", bias))
    build.add("Gemm", *inputs, output="y", **attributes)
    return build.finish(
        [value("x", TensorProto.FLOAT, "batch", 6)], [value("y", TensorProto.FLOAT, "batch", 4)]
    )


def test_no_node_is_named_as_onnxruntime_names_its_own() -> None:
    """A node whose name onnxruntime would also give is renamed."""
    build = Builder()
    build.add("MatMul", "x", build.weight("weight", 6, 4), output="y")
    build.nodes[-1].name = "x_QuantizeLinear"
    graph = build.finish(
        [value("x", TensorProto.FLOAT, "batch", 6)], [value("y", TensorProto.FLOAT, "batch", 4)]
    )
    assert [node.name for node in prepared(graph).graph.node] == ["x_QuantizeLinear.0"]


@pytest.mark.parametrize(
    "factors", [{}, {"alpha": 0.5}, {"beta": 2.0}, {"beta": 0.0}, {"alpha": -1.0, "beta": 3.0}]
)
@pytest.mark.parametrize("shape", [(4,), (1, 4), (1,), (1, 1), (), (3, 4), (3, 1)])
@pytest.mark.parametrize("transposed", [0, 1])
def test_a_gemm_multiplies_and_adds_one_bias_per_column(
    factors: dict[str, float], shape: tuple[int, ...], transposed: int
) -> None:
    """A Gemm with factors or another shape of bias gives the same answer as a product with one bias per
    column."""
    bias = np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)
    graph = gemm(bias, transB=transposed, **factors)
    for model in (prepared(graph), split_gemms(prepared(graph))):
        np.testing.assert_allclose(answer(model.SerializeToString()), answer(graph), rtol=1e-5, atol=1e-5)
        constants = {item.name: list(item.dims) for item in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "Gemm":
                assert not {item.name for item in node.attribute} & {"alpha", "beta"}
                assert all(constants[name] == [4] for name in node.input[2:])


def test_a_gemm_adds_a_bias_that_comes_with_the_row() -> None:
    """A Gemm whose bias depends on the row becomes a product and an addition."""
    build = Builder()
    bias = build.add("MatMul", "x", build.weight("other", 6, 4))
    build.add("Gemm", "x", build.weight("weight", 6, 4), bias, output="y", beta=0.5)
    graph = build.finish(
        [value("x", TensorProto.FLOAT, "batch", 6)], [value("y", TensorProto.FLOAT, "batch", 4)]
    )
    model = prepared(graph)
    np.testing.assert_allclose(answer(model.SerializeToString()), answer(graph), rtol=1e-5, atol=1e-5)
    assert count_parameters(model) == count_parameters(onnx.load_from_string(graph))


@pytest.mark.parametrize(
    "name", ["weight_transposed", "weight_quantized", "x_scale", "weight_quantized_scale"]
)
def test_no_value_is_named_like_another_with_an_ending(name: str) -> None:
    """A weight with a name that quantization would give is renamed, and the answers stay."""
    build = Builder()
    hidden = build.add("MatMul", "x", build.weight("weight", 6, 6))
    build.add("MatMul", hidden, build.weight(name, 6, 4), output="y")
    graph = build.finish(
        [value("x", TensorProto.FLOAT, "batch", 6)], [value("y", TensorProto.FLOAT, "batch", 4)]
    )
    model = prepared(graph)
    assert name not in {item.name for item in model.graph.initializer}
    assert np.array_equal(answer(model.SerializeToString()), answer(graph))


def test_a_weight_yields_to_an_output_that_is_named_after_it() -> None:
    """A weight whose quantized name equals an output is renamed, and the output keeps its name."""
    build = Builder()
    build.add("MatMul", "x", build.weight("weight", 6, 4), output="weight_quantized")
    outputs = [value("weight_quantized", TensorProto.FLOAT, "batch", 4)]
    model = separate(
        onnx.load_from_string(build.finish([value("x", TensorProto.FLOAT, "batch", 6)], outputs))
    )
    assert [item.name for item in model.graph.output] == ["weight_quantized"]
    assert [item.name for item in model.graph.initializer] == ["weight.inner"]


def test_a_path_of_a_module_is_no_ending() -> None:
    """A weight whose module's name starts with an input's name keeps its own."""
    build = Builder()
    build.add("MatMul", "x", build.weight("x_proj.weight", 6, 4), output="y")
    graph = build.finish(
        [value("x", TensorProto.FLOAT, "batch", 6)], [value("y", TensorProto.FLOAT, "batch", 4)]
    )
    assert [item.name for item in separate(onnx.load_from_string(graph)).graph.initializer] == [
        "x_proj.weight"
    ]


@pytest.mark.parametrize("ending", ["_scale", "_zero_point", "_quantized"])
def test_an_output_may_be_named_as_quantization_names_its_own(ending: str) -> None:
    """An output may have a name that quantization would give; the inner input is renamed."""
    build = Builder()
    build.add("MatMul", "x", build.weight("weight", 6, 4), output=f"x{ending}")
    outputs = [value(f"x{ending}", TensorProto.FLOAT, "batch", 4)]
    graph = build.finish([value("x", TensorProto.FLOAT, "batch", 6)], outputs)
    model = separate(onnx.load_from_string(graph))
    assert [node.op_type for node in model.graph.node] == ["Identity", "MatMul"]
    assert [item.name for item in (*model.graph.input, *model.graph.output)] == ["x", f"x{ending}"]
    assert np.array_equal(answer(model.SerializeToString()), answer(graph))


def test_inputs_and_outputs_may_be_named_after_each_other() -> None:
    """An output may be named like an input with an ending, such as `text` and `text_embeds`."""
    build = Builder()
    build.add("MatMul", "x", build.weight("weight", 6, 4), output="x_embeds")
    outputs = [value("x_embeds", TensorProto.FLOAT, "batch", 4)]
    graph = separate(
        onnx.load_from_string(build.finish([value("x", TensorProto.FLOAT, "batch", 6)], outputs))
    ).graph
    assert [item.name for item in (*graph.input, *graph.output)] == ["x", "x_embeds"]
