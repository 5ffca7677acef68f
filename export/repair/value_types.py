"""Adds the types of inner values that onnxruntime can infer and onnx cannot."""

from typing import Any

import onnx

from export.onnx.model_proto import copy_model, infer_shapes, open_model
from serve.base.tensor import Arrays
from serve.bundles.graph_session import Level


def add_types(model: Any, inputs: Arrays) -> None:
    """Declare the type and rank, for these inputs, of values that onnx's inference does not know, such as
    those of scikit-learn's operators.

    Tools that work on the graph would otherwise skip these values and everything that depends on them."""
    typed = infer_shapes(model).graph
    known = {item.name for item in (*typed.input, *typed.output, *typed.value_info)}
    unknown = [name for node in model.graph.node for name in node.output if name and name not in known]
    if not unknown:
        return
    copy = copy_model(model)
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in unknown)
    session = open_model(copy, level=Level.ORT_DISABLE_ALL)
    types = {item.name: item.type for item in session.get_outputs()}
    for name, value in zip(unknown, session.run(unknown, dict(inputs)), strict=True):
        kind = types[name]
        if kind.startswith("tensor("):
            number = onnx.TensorProto.DataType.Value(kind[len("tensor(") : -1].upper())
            shape = [None] * value.ndim
            model.graph.value_info.append(onnx.helper.make_tensor_value_info(name, number, shape))
