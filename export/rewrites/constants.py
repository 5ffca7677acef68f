"""Constants: tensors that stand as nodes become weights of the graph, where steps see them."""

from typing import Any

import onnx


def hoist(model: Any) -> Any:
    """The model, changed in place: Constant nodes that hold a tensor and are no output are initializers.
    Graphs inside nodes keep theirs."""
    graph = model.graph
    outputs = {item.name for item in graph.output}
    kept = []
    for node in graph.node:
        values = [item.t for item in node.attribute if item.name == "value"]
        if node.op_type == "Constant" and values and node.output[0] not in outputs:
            tensor = graph.initializer.add()
            tensor.CopyFrom(values[0])
            tensor.name = node.output[0]
        else:
            kept.append(onnx.NodeProto.FromString(node.SerializeToString()))
    del graph.node[:]
    graph.node.extend(kept)
    return model
