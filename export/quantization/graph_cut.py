"""Cuts a graph at some of its values, so that these can be given as inputs."""

import uuid
from collections.abc import Collection, Iterable
from typing import Any

import onnx

from export.onnx.model_proto import copy_model, open_model
from export.rewrites.graph_cleanup import finish, names_read
from serve.base.tensor import Arrays

# A separator for new names that no graph contains; it never reaches a file.
FRESH = f" {uuid.uuid4().hex} "
# Marks a value that the cut model computes.
_MADE = f"{FRESH}made"


def cut(model: Any, sources: Collection[str], targets: Iterable[str]) -> Any:
    """Return a copy of the model that computes the wanted values and reads the values in `sources` as inputs.

    Its inputs are those it needs, and have no types yet."""
    made = copy_model(model)
    for node in made.graph.node:
        node.output[:] = [f"{name}{_MADE}" if name in sources else name for name in node.output]
    del made.graph.output[:], made.graph.value_info[:]
    made.graph.output.extend(onnx.ValueInfoProto(name=f"{name}{_MADE}") for name in targets)
    made = finish(made)
    inner = {item.name for item in made.graph.initializer}
    inner |= {name for node in made.graph.node for name in node.output}
    read = dict.fromkeys(name for node in made.graph.node for name in sorted(names_read(node)))
    del made.graph.input[:]
    made.graph.input.extend(onnx.ValueInfoProto(name=name) for name in read if name not in inner)
    return made


def inputs(model: Any) -> list[str]:
    """Return the names of the cut model's inputs."""
    return [item.name for item in model.graph.input]


def run(model: Any, values: Arrays, targets: Iterable[str]) -> Arrays:
    """Run the cut model on these values and return the wanted ones by name."""
    for item in model.graph.input:
        array = values[item.name]
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        item.CopyFrom(onnx.helper.make_tensor_value_info(item.name, kind, array.shape))
    session = open_model(model)
    names = list(targets)
    results = session.run(
        [f"{name}{_MADE}" for name in names], {name: values[name] for name in inputs(model)}
    )
    return dict(zip(names, results, strict=True))


def show_rounded(quantized: Any, values: Collection[str]) -> Any:
    """Return a copy of the graph in which values that only a QuantizeLinear reads are replaced by their
    quantized and dequantized values, since the end of a range may replace a Relu."""
    made = copy_model(quantized)
    readers: dict[str, list[Any]] = {item.name: [item] for item in made.graph.output}
    for node in made.graph.node:
        for name in names_read(node):
            readers.setdefault(name, []).append(node)
    nodes = []
    for node in made.graph.node:
        nodes.append(node)
        for index, name in enumerate(node.output):
            consumers = readers.get(name, [])
            if name in values and consumers and all(_quantizes(reader) for reader in consumers):
                node.output[index] = f"{name}{FRESH}raw"
                nodes += _round_trip(consumers[0], f"{name}{FRESH}raw", name)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del made.graph.node[:]
    made.graph.node.extend(copies)
    return made


def _quantizes(reader: Any) -> bool:
    return getattr(reader, "op_type", "") == "QuantizeLinear"


def _round_trip(quantize: Any, source: str, result: str) -> list[Any]:
    there, back = type(quantize)(), type(quantize)()
    there.CopyFrom(quantize)
    there.name, there.input[0], there.output[0] = f"{result}{FRESH}there", source, f"{result}{FRESH}integers"
    back.CopyFrom(there)
    back.op_type, back.name = "DequantizeLinear", f"{result}{FRESH}back"
    back.input[0], back.output[0] = there.output[0], result
    return [there, back]
