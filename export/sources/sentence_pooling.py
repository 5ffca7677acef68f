"""Adds the embedding of a sentence to an ONNX file that answers with a vector for each token."""

from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from export.data.inputs import MASK
from export.errors import InvalidSource
from export.onnx.graph import free_name, free_node_name, values_of
from export.onnx.model_proto import load, make_graph
from export.repair.input_axes import read_shape
from serve.bundles.onnx_graph import Graph

EMBEDDING = "sentence_embedding"
# The names of the vectors of tokens in the files of optimum and sentence-transformers.
_VECTORS = ("last_hidden_state", "token_embeddings")
# The batch, the tokens, and the numbers of a vector.
_DIMENSIONS = 3


def pool(name: str, graph: Graph, *, first_token: bool, normalize: bool) -> Graph:
    """Return the graph of the file `name` with the output `sentence_embedding`, [batch, width]: of the first
    token, or the mean of the tokens that the attention mask counts; with `normalize`, of length 1.

    The operators are the same in all operator sets. Raises InvalidSource if there is no output with the
    vectors of the tokens, or no mask."""
    model = load(graph)
    builder = _Builder(model.graph)
    tokens = _find_vectors(name, model.graph)
    if first_token:
        pooled = builder.add("Gather", tokens, builder.constant("first", np.int64(0)), axis=1)
    else:
        pooled = _take_mean(name, builder, tokens)
    if normalize:
        pooled = builder.add("LpNormalization", pooled, axis=-1, p=2)
    builder.graph.node.append(
        helper.make_node("Identity", [pooled], [EMBEDDING], builder.name_node("embedding"))
    )
    kind = next(item for item in model.graph.output if item.name == tokens).type.tensor_type.elem_type
    builder.graph.output.append(helper.make_tensor_value_info(EMBEDDING, kind, ["batch", "width"]))
    return make_graph(model)


def _find_vectors(name: str, graph: Any) -> str:
    outputs = {str(item.name): read_shape(item) for item in graph.output}
    if EMBEDDING in outputs:
        raise InvalidSource(f"{name} has an output {EMBEDDING!r} already; remove `source.pooling`")
    fitting = [output for output, shape in outputs.items() if len(shape) == _DIMENSIONS]
    fitting = [output for output in fitting if output in _VECTORS] or fitting
    if len(fitting) != 1:
        shapes = ", ".join(f"{output} {list(shape)}" for output, shape in outputs.items())
        raise InvalidSource(
            f"`source.pooling` needs one output [batch, tokens, width], such as {_VECTORS[0]}, and {name} "
            f"has {shapes}; export the file with that output, or remove `pooling`"
        )
    return fitting[0]


def _take_mean(name: str, builder: "_Builder", tokens: str) -> str:
    graph = builder.graph
    if MASK not in {item.name for item in graph.input}:
        raise InvalidSource(
            f"`pooling: mean` leaves out the padding by the input {MASK!r}, which {name} does not take; "
            "export the file with it, or choose `pooling: cls`"
        )
    kind = next(item for item in graph.output if item.name == tokens).type.tensor_type.elem_type
    counted = builder.add("Cast", MASK, to=kind)
    # The sums over the tokens are products with the mask, [batch, 1, tokens].
    row = builder.add("Reshape", counted, builder.constant("row", np.array([0, 1, -1])))
    column = builder.add("Reshape", counted, builder.constant("column", np.array([0, -1, 1])))
    mean = builder.add("Div", builder.add("MatMul", row, tokens), builder.add("MatMul", row, column))
    return builder.add("Reshape", mean, builder.constant("flat", np.array([0, -1])))


class _Builder:
    """A graph to which operators are added, with names that it does not have."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self._taken = values_of(graph)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator and return the name of its output."""
        output = free_name(f"pooled_{operator.lower()}", self._taken)
        self._taken.add(output)
        node = helper.make_node(operator, list(inputs), [output], self.name_node(output), **attributes)
        self.graph.node.append(node)
        return output

    def constant(self, name: str, value: Any) -> str:
        """Add a constant and return its name."""
        free = free_name(f"pooled_{name}", self._taken)
        self._taken.add(free)
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.int64), free))
        return free

    def name_node(self, name: str) -> str:
        """Return a name for a node that no other has."""
        return free_node_name(name, self.graph)
