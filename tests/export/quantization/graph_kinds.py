"""Kinds of graphs that quantization tools have got wrong: each small, with rows `x` of its own."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.export.graphs import Builder, value

# The graph, and the shape of a row.
Kind = tuple[bytes, tuple[int, ...]]
KINDS: dict[str, Callable[[], Kind]] = {}


def kind(make: Callable[[], Kind]) -> Callable[[], Kind]:
    """Collects it by its name."""
    KINDS[make.__name__] = make
    return make


def floats(*shape: int, scale: float = 1.0, seed: int = 7) -> NDArray[np.float32]:
    """Random numbers around 0."""
    return (np.random.default_rng(seed).normal(0, scale, shape)).astype(np.float32)


def finish(build: Builder, shape: tuple[int, ...], *outputs: tuple[str, tuple[int, ...]]) -> Kind:
    """The graph with its input `x`."""
    made = build.finish(
        [value("x", TensorProto.FLOAT, "batch", *shape)],
        [value(name, TensorProto.FLOAT, "batch", *dims) for name, dims in outputs],
    )
    return made, shape


def conv(build: Builder, x: str, name: str, outputs: int, inputs: int, **attributes: Any) -> str:
    """A convolution of 3x3 that keeps the size."""
    weight, bias = (
        build.weight(f"{name}.weight", outputs, inputs, 3, 3),
        build.weight(f"{name}.bias", outputs),
    )
    return build.add("Conv", x, weight, bias, **{"pads": [1] * 4, **attributes})


@kind
def gemm_with_factors() -> Kind:
    build = Builder()
    build.add(
        "Gemm", "x", build.weight("w", 8, 32), build.weight("b", 8), output="y", alpha=0.5, beta=3.0, transB=1
    )
    return finish(build, (32,), ("y", (8,)))


@kind
def gemm_of_a_turned_row() -> Kind:
    build = Builder()
    turned = build.add("Transpose", "x", perm=[1, 0])
    build.add("Gemm", turned, build.weight("w", 32, 8), output="y", transA=1)
    return finish(build, (32,), ("y", (8,)))


@kind
def bias_of_one_row() -> Kind:
    build = Builder()
    build.add("Gemm", "x", build.weight("w", 32, 8), build.constant("b", floats(1, 8)), output="y")
    return finish(build, (32,), ("y", (8,)))


@kind
def bias_of_one_number() -> Kind:
    build = Builder()
    build.add("Gemm", "x", build.weight("w", 32, 8), build.constant("b", floats(1)), output="y")
    return finish(build, (32,), ("y", (8,)))


@kind
def bias_that_stands_first() -> Kind:
    build = Builder()
    build.add("Add", build.weight("b", 8), build.add("MatMul", "x", build.weight("w", 32, 8)), output="y")
    return finish(build, (32,), ("y", (8,)))


@kind
def bias_that_overflows() -> Kind:
    """A channel of weights near 0 whose bias is not: over scale of input times weight it needs 40 bits."""
    build = Builder()
    weight, bias = floats(16, 4, 3, 3, scale=0.2), np.abs(floats(16)) + 1
    weight[3] *= 1e-9
    weight[5] = 0
    x = build.add("Conv", "x", build.constant("w", weight), build.constant("b", bias), pads=[1] * 4)
    conv_out = build.add("Relu", x)
    conv(build, conv_out, "second", 4, 16)
    build.add("Identity", f"conv_{len(build.nodes) - 1}", output="y")
    return finish(build, (4, 6, 6), ("y", (4, 6, 6)))


@kind
def bias_that_overflows_everywhere() -> Kind:
    """All weights near 0, all biases not."""
    build = Builder()
    build.add(
        "Gemm",
        "x",
        build.constant("w", floats(32, 8, scale=1e-9)),
        build.constant("b", floats(8)),
        output="y",
    )
    return finish(build, (32,), ("y", (8,)))


@kind
def names_like_those_to_come() -> Kind:
    build = Builder()
    h = build.add("Gemm", "x", build.weight("w", 16, 32), build.weight("c", 16), output="w_scale", transB=1)
    k = build.add("MatMul", "x", build.weight("w_transposed", 32, 16), output="x_integers")
    z = build.add("Add", h, k, output="w_quantized")
    build.add("MatMul", z, build.weight("x_limit", 16, 8), output="y")
    return finish(build, (32,), ("y", (8,)))


@kind
def names_of_a_path() -> Kind:
    build = Builder()
    h = build.add("MatMul", "x", build.weight("/net/0/w", 32, 16), output="/net/0/MatMul_output_0")
    h = build.add("Relu", h, output="/net/0/MatMul_output_0//made")
    build.add("MatMul", h, build.weight("/net/0/w//raw", 16, 8), output="y")
    return finish(build, (32,), ("y", (8,)))


@kind
def weight_used_both_ways() -> Kind:
    """Use a square matrix as it is and transposed: its channels are rows in one use and columns in the
    other."""
    build = Builder()
    weight = floats(16, 16, scale=0.25)
    weight[3] *= 30
    w = build.constant("w", weight)
    h = build.add("Gemm", "x", w, build.weight("b", 16), transB=1)
    g = build.add("Gemm", "x", w, build.weight("c", 16))
    build.add("Add", h, g, output="y")
    return finish(build, (16,), ("y", (16,)))


@kind
def weight_and_bias_used_twice() -> Kind:
    """The second time on numbers a hundred times as large: the bias has two scales."""
    build = Builder()
    w, b = build.weight("w", 16, 16), build.weight("b", 16, scale=1)
    h = build.add("Gemm", "x", w, b)
    large = build.add("Mul", build.add("Relu", h), build.constant("hundred", np.float32(100)))
    build.add("Gemm", large, w, b, output="y")
    return finish(build, (16,), ("y", (16,)))


@kind
def convolution_used_twice() -> Kind:
    build = Builder()
    w, b = build.weight("w", 4, 4, 3, 3), build.weight("b", 4, scale=1)
    h = build.add("Relu", build.add("Conv", "x", w, b, pads=[1] * 4))
    build.add("Conv", h, w, b, pads=[1] * 4, output="y")
    return finish(build, (4, 6, 6), ("y", (4, 6, 6)))


@kind
def softmax_between_convolutions() -> Kind:
    build = Builder()
    h = build.add("Relu", conv(build, "x", "one", 16, 3))
    shares = build.add("Softmax", build.add("GlobalAveragePool", conv(build, h, "gate", 16, 16)), axis=1)
    h = build.add("Relu", conv(build, build.add("Mul", h, shares), "two", 16, 16))
    h = build.add("Flatten", build.add("GlobalAveragePool", h))
    build.add(
        "Gemm", h, build.weight("head.weight", 16, 5, scale=4), build.weight("head.bias", 5), output="y"
    )
    return finish(build, (3, 8, 8), ("y", (5,)))


@kind
def padding_beside_positive_pixels() -> Kind:
    """All pixels lie around 5: 0, which stands at the border, is the end of the range."""
    build = Builder()
    build.constant("five", np.float32(5))
    h = build.add("Relu", build.add("Add", "x", "five"))
    weight = build.weight("one.weight", 8, 3, 3, 3)
    h = build.add("Conv", h, weight, build.weight("one.bias", 8), pads=[2, 0, 1, 1])
    conv(build, build.add("Relu", h), "two", 4, 8)
    build.add("Identity", f"conv_{len(build.nodes) - 1}", output="y")
    return finish(build, (3, 6, 6), ("y", (4, 7, 5)))


@kind
def depthwise_and_grouped() -> Kind:
    build = Builder()
    h = build.add("Relu", conv(build, "x", "deep", 8, 1, group=8))
    h = build.add("Relu", conv(build, h, "grouped", 8, 4, group=2))
    conv(build, h, "strided", 4, 8, strides=[2, 2])
    build.add("Identity", f"conv_{len(build.nodes) - 1}", output="y")
    return finish(build, (8, 6, 6), ("y", (4, 3, 3)))


@kind
def depthwise_of_one_weight() -> Kind:
    build = Builder()
    h = build.add("Conv", "x", build.weight("w", 8, 1, 1, 1), build.weight("b", 8), group=8)
    conv(build, h, "two", 4, 8)
    build.add("Identity", f"conv_{len(build.nodes) - 1}", output="y")
    return finish(build, (8, 6, 6), ("y", (4, 6, 6)))


@kind
def convolution_over_time() -> Kind:
    build = Builder()
    h = build.add(
        "Relu", build.add("Conv", "x", build.weight("one", 8, 4, 3), build.weight("b", 8), dilations=[2])
    )
    build.add("Conv", h, build.weight("two", 4, 8, 3), auto_pad="SAME_UPPER", output="y")
    return finish(build, (4, 16), ("y", (4, 12)))


@kind
def transposed_convolution_between() -> Kind:
    build = Builder()
    h = build.add("Relu", conv(build, "x", "one", 8, 3))
    h = build.add("ConvTranspose", h, build.weight("up", 8, 8, 2, 2), strides=[2, 2])
    conv(build, build.add("Relu", h), "two", 4, 8)
    build.add("Identity", f"conv_{len(build.nodes) - 1}", output="y")
    return finish(build, (3, 4, 4), ("y", (4, 8, 8)))


@kind
def clip_with_a_floor() -> Kind:
    """A Clip from -1 to 1 is no Relu."""
    build = Builder()
    build.constant("low", np.float32(-1)), build.constant("high", np.float32(1))
    h = build.add("Clip", conv(build, "x", "one", 8, 3), "low", "high")
    conv(build, h, "two", 4, 8)
    build.add("Identity", f"conv_{len(build.nodes) - 1}", output="y")
    return finish(build, (3, 6, 6), ("y", (4, 6, 6)))


@kind
def read_before_and_behind_a_relu() -> Kind:
    build = Builder()
    before = conv(build, "x", "one", 8, 3)
    behind = build.add("Relu", before)
    conv(build, build.add("Sub", before, behind), "two", 4, 8)
    build.add("Identity", f"conv_{len(build.nodes) - 1}", output="y")
    return finish(build, (3, 6, 6), ("y", (4, 6, 6)))


@kind
def residual_with_itself() -> Kind:
    build = Builder()
    h = build.add("Relu", conv(build, "x", "one", 8, 3))
    h = build.add("Relu", build.add("Add", h, conv(build, h, "two", 8, 8)))
    build.add("Add", h, h, output="y")
    return finish(build, (3, 6, 6), ("y", (8, 6, 6)))


@kind
def small_beside_large_residual() -> Kind:
    """Add a value that is a thousand times as small; its range must not be that of the sum."""
    build = Builder()
    large = build.add("Mul", conv(build, "x", "one", 8, 3), build.constant("thousand", np.float32(1000)))
    small = conv(build, "x", "two", 8, 3)
    build.add("Add", large, small)
    build.add("Identity", small, output="z")
    conv(build, f"add_{len(build.nodes) - 2}", "three", 4, 8)
    build.add("Identity", f"conv_{len(build.nodes) - 1}", output="y")
    return finish(build, (3, 6, 6), ("y", (4, 6, 6)), ("z", (8, 6, 6)))


@kind
def split_and_joined() -> Kind:
    build = Builder()
    build.constant("halves", np.array([4, 4], np.int64))
    h = build.add("Relu", conv(build, "x", "one", 8, 3))
    build.nodes.append(helper.make_node("Split", [h, "halves"], ["left", "right"], "split", axis=1))
    h = build.add("Concat", conv(build, "left", "two", 4, 4), "right", axis=1)
    h = build.add("Transpose", h, perm=[0, 2, 3, 1])
    build.add("MatMul", h, build.weight("w", 8, 4), output="y")
    return finish(build, (3, 6, 6), ("y", (6, 6, 4)))


@kind
def inner_value_given_out() -> Kind:
    build = Builder()
    weights = build.weight("one.weight", 8, 3, 3, 3), build.weight("one.bias", 8)
    build.add("Conv", "x", *weights, pads=[1] * 4, output="z")
    conv(build, build.add("Relu", "z"), "two", 4, 8)
    build.add("Identity", f"conv_{len(build.nodes) - 1}", output="y")
    return finish(build, (3, 6, 6), ("y", (4, 6, 6)), ("z", (8, 6, 6)))


@kind
def matrices_of_other_ranks() -> Kind:
    """Use a constant of three dimensions and one as the first factor, neither of which is a layer."""
    build = Builder()
    h = build.add("MatMul", "x", build.weight("w", 16, 16))
    h = build.add("MatMul", h, build.weight("stack", 1, 16, 16))
    build.add("MatMul", build.weight("first", 4, 4), h, output="y")
    return finish(build, (4, 16), ("y", (4, 16)))


@kind
def numbers_of_other_sizes() -> Kind:
    """Weights of one column that are a million times as large as another's."""
    build = Builder()
    weight = floats(32, 8)
    weight[:, 2] *= 1e6
    h = build.add("MatMul", "x", build.constant("w", weight))
    build.add("Mul", h, build.constant("back", np.array([1, 1, 1e-6, 1, 1, 1, 1, 1], np.float32)), output="y")
    return finish(build, (32,), ("y", (8,)))


@kind
def lstm_used_twice() -> Kind:
    """One set of weights for two sequences."""
    build = Builder()
    weights = [build.weight(f"rnn.{name}", 1, 32, 8) for name in ("w", "r")]
    steps = build.add("Transpose", "x", perm=[1, 0, 2])
    build.nodes.append(helper.make_node("LSTM", [steps, *weights], ["one", ""], "lstm", hidden_size=8))
    build.constant("directions", np.array([1], np.int64))
    h = build.add("Squeeze", "one", "directions")
    build.nodes.append(helper.make_node("LSTM", [h, *weights], ["", "last"], "again", hidden_size=8))
    build.constant("zero", np.array([0], np.int64))
    build.add("Gemm", build.add("Squeeze", "last", "zero"), build.weight("head", 8, 3), output="y")
    return finish(build, (5, 8), ("y", (3,)))


@kind
def lstm_both_ways() -> Kind:
    build = Builder()
    weights = [build.weight(f"rnn.{name}", 2, 32, width) for name, width in (("w", 6), ("r", 8))]
    steps = build.add("Transpose", "x", perm=[1, 0, 2])
    inputs = [steps, *weights, build.weight("rnn.b", 2, 64)]
    build.nodes.append(
        helper.make_node("LSTM", inputs, ["all"], "lstm", hidden_size=8, direction="bidirectional")
    )
    h = build.add("Transpose", "all", perm=[2, 0, 1, 3])
    build.constant("flat", np.array([0, 5, 16], np.int64))
    build.add("MatMul", build.add("Reshape", h, "flat"), build.weight("head", 16, 3), output="y")
    return finish(build, (5, 6), ("y", (5, 3)))


@kind
def gru_before_a_head() -> Kind:
    build = Builder()
    weights = [build.weight(f"rnn.{name}", 1, 24, width) for name, width in (("w", 6), ("r", 8))]
    steps = build.add("Transpose", "x", perm=[1, 0, 2])
    build.nodes.append(helper.make_node("GRU", [steps, *weights], ["", "last"], "gru", hidden_size=8))
    build.constant("zero", np.array([0], np.int64))
    build.add("Gemm", build.add("Squeeze", "last", "zero"), build.weight("head", 8, 3), output="y")
    return finish(build, (5, 6), ("y", (3,)))


@kind
def table_that_also_multiplies() -> Kind:
    """Rows looked up by a rounded number, and the same matrix as a product's weight."""
    build = Builder()
    table = build.constant("table", floats(64, 64, scale=0.25))
    build.constant("most", np.float32(63)), build.constant("zero", np.float32(0))
    index = build.add(
        "Cast", build.add("Clip", build.add("Abs", "x"), "zero", "most"), to=int(TensorProto.INT64)
    )
    build.constant("axis", np.array([1], np.int64))
    rows = build.add("ReduceMean", build.add("Gather", table, index), "axis", keepdims=0)
    h = build.add("MatMul", rows, table)
    build.add("Gemm", h, table, output="y", transB=1)
    return finish(build, (64,), ("y", (64,)))


@kind
def input_far_from_zero() -> Kind:
    build = Builder()
    build.constant("far", np.float32(-40))
    build.add(
        "Gemm", build.add("Add", "x", "far"), build.weight("w", 32, 8), build.weight("b", 8), output="y"
    )
    return finish(build, (32,), ("y", (8,)))


@kind
def nothing_but_zeros() -> Kind:
    build = Builder()
    h = build.add("MatMul", "x", build.constant("w", np.zeros((32, 16), np.float32)))
    h = build.add("Relu", h)
    build.add("Gemm", h, build.weight("v", 16, 8), build.weight("b", 8, scale=1), output="y")
    return finish(build, (32,), ("y", (8,)))


@kind
def bias_used_twice_beside_a_number() -> Kind:
    """Use values named `b0` and `b1`, which onnxruntime's tool gives to the integers of a shared bias."""
    build = Builder()
    build.weight("b", 4, scale=1)
    build.add("Conv", "x", build.weight("w", 4, 4, 3, 3), "b", output="b0", pads=[1] * 4)
    build.add("Mul", build.add("Neg", "b0"), build.constant("ten", np.float32(10)), output="b1")
    build.add("Conv", "b1", build.weight("v", 4, 4, 3, 3), "b", output="y", pads=[1] * 4)
    return finish(build, (4, 6, 6), ("y", (4, 6, 6)))


@kind
def gemm_with_half_of_a_computed_bias() -> Kind:
    build = Builder()
    build.constant("axis", np.array([1], np.int64))
    mean = build.add("ReduceMean", "x", "axis", keepdims=1)
    build.add("Gemm", "x", build.weight("w", 32, 8), mean, output="y", beta=0.5)
    return finish(build, (32,), ("y", (8,)))


@kind
def loop_between_products() -> Kind:
    """Use a loop whose body returns a value unchanged."""
    build = Builder()
    for name, number in {"times": np.int64(3), "always": np.bool_(True)}.items():
        build.weights.append(numpy_helper.from_array(np.asarray(number), name))
    build.weight("inner", 16, 16, scale=0.1)
    nodes = [
        helper.make_node("MatMul", ["h_in", "inner"], ["product"]),
        helper.make_node("Tanh", ["product"], ["h_out"]),
        helper.make_node("Identity", ["go_in"], ["go_out"]),
    ]
    inputs = [value("i", TensorProto.INT64), value("go_in", TensorProto.BOOL)]
    inputs.append(value("h_in", TensorProto.FLOAT, "batch", 16))
    outputs = [value("go_out", TensorProto.BOOL), value("h_out", TensorProto.FLOAT, "batch", 16)]
    h = build.add("MatMul", "x", build.weight("w", 32, 16))
    body = helper.make_graph(nodes, "body", inputs, outputs)
    build.add(
        "MatMul", build.add("Loop", "times", "always", h, body=body), build.weight("v", 16, 8), output="y"
    )
    return finish(build, (32,), ("y", (8,)))


@kind
def classes_masked_with_infinity() -> Kind:
    """onnxruntime puts the mask into a Gemm."""
    build = Builder()
    h = build.add("Relu", build.add("MatMul", "x", build.weight("w", 32, 16)))
    mask = build.constant("mask", np.array([0, 0, 0, -np.inf, -np.inf], np.float32))
    scores = build.add("Add", build.add("MatMul", h, build.weight("v", 16, 5)), mask)
    build.add("Softmax", scores, output="y", axis=-1)
    return finish(build, (32,), ("y", (5,)))


@kind
def input_given_out_again() -> Kind:
    build = Builder()
    h = build.add("Relu", build.add("MatMul", "x", build.weight("w", 32, 16)))
    build.add("MatMul", h, build.weight("v", 16, 8), output="y")
    return finish(build, (32,), ("y", (8,)), ("x", (32,)))
