"""Lets onnxruntime simplify a graph in standard operators."""

from export.onnx.model_proto import take_written
from export.scratch_folder import scratch_folder
from serve.bundles.graph_session import Level, open_graph
from serve.bundles.onnx_graph import Graph


def optimize(graph: Graph) -> Graph:
    """Return the graph with folded constants and merged equal computations."""
    with scratch_folder() as folder:
        path = folder / "optimized.onnx"
        open_graph(graph, level=Level.ORT_ENABLE_BASIC, written_to=path)
        return take_written(path)
