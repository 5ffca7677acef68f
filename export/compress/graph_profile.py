"""Describe a graph by what decides which methods can pay."""

from collections import Counter
from math import prod

from export.compress.propose_variants import GraphProfile
from export.data.datasets import Split
from export.onnx.model_proto import load
from export.proof.graph_cost import count_by_output
from export.proof.graph_stats import longest_row
from export.steps.fuse import count_attentions
from serve.bundles.onnx_graph import Graph

_PRODUCTS = ("Gemm", "MatMul")


def profile_graph(graph: Graph, rows: Split) -> GraphProfile:
    """Return the profile of an ONNX graph for the longest of these rows."""
    model = load(graph)
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    multiply_adds: Counter[str] = Counter()
    for output, count in count_by_output(model, longest_row(rows)).items():
        multiply_adds[makers[output]] += count
    weights = {item.name: prod(item.dims) for item in model.graph.initializer}
    products = {name for node in model.graph.node if node.op_type in _PRODUCTS for name in node.input}
    return GraphProfile(
        multiply_adds=multiply_adds,
        product_weights=sum(size for name, size in weights.items() if name in products),
        fuses=count_attentions(graph, rows) > 0,
        normalizes="LayerNormalization" in makers.values(),
    )
