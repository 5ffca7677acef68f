"""Small graphs with random weights, as torch's exporter writes them, and rows for them: milliseconds each."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.artifacts import Context, Exported, Trained
from export.data.datasets import Data, Split
from export.onnx.model_proto import load
from export.quantization.prepare import prepare
from export.rewrites.wiring import Wiring, find_linears
from serve.base.tensor import Signature, TensorSpec
from serve.bundles.meaning import Task
from serve.bundles.onnx_graph import Graph

TOKENS, WIDTH, WORDS = 12, 16, 300


class Builder:
    """Collects the nodes and weights of a graph."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, name: str, *shape: int, scale: float | None = None) -> str:
        """A random weight; around 1 for a norm."""
        fan = int(np.prod(shape[1:])) if len(shape) > 1 else 4 * shape[0]
        array = self.random.normal(0, scale or fan**-0.5, shape)
        return self.constant(name, (array + (1 if "LayerNorm.weight" in name else 0)).astype(np.float32))

    def constant(self, name: str, array: Any) -> str:
        """An initializer of this value."""
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """A node and its one output, which gets the node's number where it has no name."""
        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], f"node_{output}", **attributes))
        return output

    def finish(self, inputs: list[Any], outputs: list[Any], opset: int = 20) -> bytes:
        """The checked model."""
        graph = helper.make_graph(self.nodes, "main_graph", inputs, outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())


def prepared(graph: bytes) -> Any:
    """The model that quantization starts from."""
    return load(prepare(graph))


def value(name: str, kind: int, *dims: str | int) -> Any:
    """An input or output."""
    return helper.make_tensor_value_info(name, kind, list(dims))


def conv_graph(channels: int = 16) -> bytes:
    """Two convolutions with Relu, pooling and a linear head: image [batch, 1, 8, 8] to logits [batch, 4]."""
    build = Builder()
    x = "image"
    for number, width in enumerate((1, channels)):
        weight = build.weight(f"features.{number}.weight", channels, width, 3, 3)
        bias = build.weight(f"features.{number}.bias", channels)
        x = build.add("Relu", build.add("Conv", x, weight, bias, pads=[1] * 4, kernel_shape=[3, 3]))
    x = build.add("Flatten", build.add("GlobalAveragePool", x))
    head = (build.weight("head.weight", 4, channels, scale=2), build.weight("head.bias", 4))
    build.add("Gemm", x, *head, output="logits", transB=1)
    return build.finish(
        [value("image", TensorProto.FLOAT, "batch", 1, 8, 8)],
        [value("logits", TensorProto.FLOAT, "batch", 4)],
    )


def encoder_graph(layers: int = 2) -> bytes:
    """A BERT of that many layers: input_ids and attention_mask [batch, tokens] to embedding [batch, 16]."""
    build = Builder()
    build.constant("one", np.array([1], np.int64))
    build.constant("axes", np.array([1, 2], np.int64))
    build.constant("heads", np.array([0, 0, 2, WIDTH // 2], np.int64))
    build.constant("width", np.array([0, 0, WIDTH], np.int64))
    build.constant("scale", np.float32((WIDTH / 2) ** -0.5))
    build.constant("least", np.float32(-1e4))
    build.constant("top", np.float32(1))
    mask = build.add("Cast", "attention_mask", to=int(TensorProto.FLOAT))
    hidden = build.add("Unsqueeze", mask, "axes")
    bias = build.add("Mul", build.add("Sub", "top", hidden), "least")
    x = build.add("Gather", build.weight("embeddings.word.weight", WORDS, WIDTH, scale=1), "input_ids")
    for number in range(layers):
        x = _encoder_layer(build, f"encoder.layer.{number}", x, bias)
    pooled = build.add("MatMul", build.add("Unsqueeze", mask, "one"), x)
    build.add("Squeeze", pooled, "one", output="embedding")
    ids = [value(name, TensorProto.INT64, "batch", "tokens") for name in ("input_ids", "attention_mask")]
    return build.finish(ids, [value("embedding", TensorProto.FLOAT, "batch", WIDTH)])


def lstm_graph() -> bytes:
    """Steps [batch, 5, 6] through one LSTM of 8 to scores [batch, 3]."""
    build = Builder()
    steps = build.add("Transpose", "steps", perm=[1, 0, 2])
    weights = [build.weight(f"rnn.{name}", 1, 32, width) for name, width in (("w", 6), ("r", 8))]
    build.nodes.append(helper.make_node("LSTM", [steps, *weights], ["", "last"], "node_lstm", hidden_size=8))
    build.constant("first", np.array([0], np.int64))
    head = (build.weight("head.weight", 8, 3), build.weight("head.bias", 3))
    build.add("Gemm", build.add("Squeeze", "last", "first"), *head, output="scores")
    return build.finish(
        [value("steps", TensorProto.FLOAT, "batch", 5, 6)], [value("scores", TensorProto.FLOAT, "batch", 3)]
    )


def outlying_graph() -> bytes:
    """The encoder, with a channel behind its norms and a neuron behind each Gelu far above the rest."""
    model = onnx.load_from_string(encoder_graph())
    wiring = Wiring(model)
    for linear in find_linears(wiring):
        norm = wiring.makers.get(linear.product.input[0])
        if norm is not None and norm.op_type == "LayerNormalization":
            _multiply(wiring.constants[linear.weight], 1 / 20)
    for name, constant in wiring.constants.items():
        if name.endswith(("attention.output.LayerNorm.weight", "layer.0.output.LayerNorm.weight")):
            _multiply(constant, 20)
        if name.endswith("intermediate.dense.bias"):
            array = numpy_helper.to_array(constant).copy()
            array[5] += 13
            constant.CopyFrom(numpy_helper.from_array(array, name))
    return bytes(model.SerializeToString())


def _multiply(constant: Any, factor: float) -> None:
    """Multiply the part that belongs to channel 3."""
    array = numpy_helper.to_array(constant).copy()
    array[3] *= np.float32(factor)
    constant.CopyFrom(numpy_helper.from_array(array, constant.name))


def _linear(build: Builder, path: str, x: str, inputs: int, outputs: int) -> str:
    # The exporter does the same: the transposed weight has lost its name, and the bias has kept it.
    weight = build.weight(f"val_{len(build.weights)}", inputs, outputs, scale=inputs**-0.5)
    return build.add("Add", build.add("MatMul", x, weight), build.weight(f"{path}.bias", outputs))


def _encoder_layer(build: Builder, path: str, x: str, bias: str) -> str:
    query, key, merged = (
        build.add(
            "Transpose",
            build.add("Reshape", _linear(build, f"{path}.attention.self.{part}", x, WIDTH, WIDTH), "heads"),
            perm=perm,
        )
        for part, perm in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3]))
    )
    scores = build.add("Mul", build.add("MatMul", query, key), "scale")
    shares = build.add("Softmax", build.add("Add", scores, bias), axis=-1)
    mixed = build.add("Transpose", build.add("MatMul", shares, merged), perm=[0, 2, 1, 3])
    mixed = build.add("Reshape", mixed, "width")
    x = _norm(
        build,
        f"{path}.attention.output",
        _linear(build, f"{path}.attention.output.dense", mixed, WIDTH, WIDTH),
        x,
    )
    inner = build.add("Gelu", _linear(build, f"{path}.intermediate.dense", x, WIDTH, 2 * WIDTH))
    return _norm(build, f"{path}.output", _linear(build, f"{path}.output.dense", inner, 2 * WIDTH, WIDTH), x)


def _norm(build: Builder, path: str, x: str, skipped: str) -> str:
    scale, shift = (build.weight(f"{path}.LayerNorm.{name}", WIDTH) for name in ("weight", "bias"))
    return build.add("LayerNormalization", build.add("Add", x, skipped), scale, shift, axis=-1)


def images(rows: int, seed: int) -> Split:
    """Random rows for `conv_graph`."""
    array = np.random.default_rng(seed).normal(0, 1, (rows, 1, 8, 8)).astype(np.float32)
    return split_of({"image": array})


def texts(rows: int, seed: int) -> Split:
    """Random rows for `encoder_graph`, of all lengths from 2 to 12 tokens."""
    random = np.random.default_rng(seed)
    lengths = random.integers(2, TOKENS + 1, rows)
    mask = (np.arange(TOKENS) < lengths[:, None]).astype(np.int64)
    return split_of(
        {"input_ids": random.integers(1, WORDS, (rows, TOKENS)) * mask, "attention_mask": mask}, lengths
    )


def split_of(inputs: dict[str, NDArray[Any]], lengths: NDArray[np.int64] | None = None) -> Split:
    """These rows, unlabelled."""
    rows = len(next(iter(inputs.values())))
    return Split(inputs=inputs, labels=None, lengths=lengths, row_hashes=tuple(map(str, range(rows))))


def context_for(task: Task, calibration: Split, search: Split, folder: Path) -> Context:
    """What a graph step is given."""
    data = Data(train=None, calibration=calibration, search=search, held_out=search)
    trained = Trained(name="test", sha256="0" * 64, assets={})
    return Context(trained=trained, task=task, data=data, seed=0, scratch=folder, logs=folder)


def exported_of(graph: bytes) -> Exported:
    """The graph as a step takes it."""
    model = onnx.load_from_string(graph)
    kinds = {TensorProto.FLOAT: "FP32", TensorProto.INT64: "INT64", TensorProto.STRING: "BYTES"}

    def read(items: Any) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(
                name=item.name,
                datatype=kinds[item.type.tensor_type.elem_type],
                shape=tuple(dim.dim_param or dim.dim_value for dim in item.type.tensor_type.shape.dim),
            )
            for item in items
        )

    signature = Signature(inputs=read(model.graph.input), outputs=read(model.graph.output))
    return Exported(graph=graph, signature=signature, parity=None)


def operators(graph: Graph) -> dict[str, int]:
    """How often each operator stands in the graph."""
    names = [cast(str, node.op_type) for node in onnx.load_from_string(graph).graph.node]
    return {name: names.count(name) for name in names}


def mean_cosine(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the mean cosine between the rows of two arrays."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(np.mean((one * other).sum(1) / lengths))
