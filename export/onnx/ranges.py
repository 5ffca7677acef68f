"""Finds the valid range of inputs that a graph uses as indices of tables."""

from collections.abc import Collection, Iterator

from onnx import ModelProto, NodeProto

from export.onnx.model_proto import load
from serve.bundles.onnx_graph import Graph

# The attribute with the axis of the lookup, by operator; the table is always the first input.
_LOOKUPS = {"Gather": "axis", "GatherBlockQuantized": "gather_axis"}
# Operators that keep the values.
_SAME_VALUES = {"Identity", "Cast", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Transpose", "Expand"}
# Operators that keep the size of a table.
_SAME_SHAPE = {"Identity", "Cast", "DequantizeLinear"}


def find_ranges(graph: Graph, backwards: Collection[str] = ()) -> dict[str, tuple[int, int]]:
    """Return the valid range (lowest, highest) of each input whose values are indices of tables.

    ONNX counts a negative index from the end of a table. Only the inputs in `backwards` use that; for any
    other input, a negative value is a mistake and must not be answered."""
    model = load(graph)
    ranges = {}
    for spec in model.graph.input:
        if sizes := list(_sizes(model, spec.name)):
            size = min(sizes)
            ranges[spec.name] = -size if spec.name in backwards else 0, size - 1
    return ranges


def _sizes(model: ModelProto, name: str) -> Iterator[int]:
    """Return the sizes of all tables in which these values are looked up."""
    names = {name}
    for node in model.graph.node:
        if node.op_type in _LOOKUPS and node.input[1] in names:
            size = _table_size(model, node)
            if size is not None:
                yield size
        elif node.op_type in _SAME_VALUES and node.input[0] in names:
            names.update(node.output)


def _table_size(model: ModelProto, lookup: NodeProto) -> int | None:
    """Return the number of entries of the table; None if it is not a constant."""
    made_by = {output: node for node in model.graph.node for output in node.output}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    name = lookup.input[0]
    while name not in constants and name in made_by and made_by[name].op_type in _SAME_SHAPE:
        name = made_by[name].input[0]
    if name not in constants:
        return None
    key = _LOOKUPS[lookup.op_type]
    axis = next((attribute.i for attribute in lookup.attribute if attribute.name == key), 0)
    dims = constants[name].dims
    return dims[axis] if dims else None
