"""Describe a graph by what decides which methods can pay."""

import time
from collections import Counter
from math import prod
from typing import Any

from export.compress.propose_variants import GraphProfile
from export.data.datasets import Split
from export.onnx.model_proto import load
from export.proof.graph_cost import count_by_output
from export.proof.graph_stats import longest_row
from export.steps.fuse import count_attentions
from serve.bundles.graph_session import open_graph
from serve.bundles.onnx_graph import Graph

_PRODUCTS = ("Gemm", "MatMul")
# The rows of the larger run, if one row takes less than a time.
_MANY_ROWS = 64
_SLOW_S = 0.01
# The first runs allocate memory.
_TIMES = 5


def profile_graph(graph: Graph, rows: Split) -> GraphProfile:
    """Return the profile of an ONNX graph for the longest of these rows."""
    model = load(graph)
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    multiply_adds: Counter[str] = Counter()
    for output, count in count_by_output(model, longest_row(rows)).items():
        multiply_adds[makers[output]] += count
    weights = {item.name: prod(item.dims) for item in model.graph.initializer}
    rows_in_run, run_s = _measure_run(graph, rows)
    products = {name for node in model.graph.node if node.op_type in _PRODUCTS for name in node.input}
    return GraphProfile(
        multiply_adds=multiply_adds,
        product_weights=sum(size for name, size in weights.items() if name in products),
        fuses=count_attentions(graph, rows) > 0,
        normalizes="LayerNormalization" in makers.values(),
        trees=any(operator.startswith("TreeEnsemble") for operator in makers.values()),
        rows=rows_in_run,
        run_s=run_s,
    )


def _measure_run(graph: Graph, rows: Split) -> tuple[int, float]:
    """Return a number of rows and the least CPU time of a run with them: many rows, in which products weigh
    most, unless the model is slow."""
    session = open_graph(graph)
    one_s = _time_run(session, rows, 1)
    if one_s > _SLOW_S:
        return 1, one_s
    return _MANY_ROWS, min(_time_run(session, rows, _MANY_ROWS) for _ in range(_TIMES))


def _time_run(session: Any, rows: Split, count: int) -> float:
    inputs = dict(rows.take_like(count))
    start = time.process_time()
    session.run(None, inputs)
    return time.process_time() - start
