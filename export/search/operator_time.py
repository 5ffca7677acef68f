"""Measures in which operators a graph spends its time."""

import json
from collections import Counter
from pathlib import Path

from export.scratch_folder import scratch_folder
from serve.base.tensor import Arrays
from serve.bundles.graph_session import open_graph
from serve.bundles.onnx_graph import Graph

# The first run allocates memory; its times do not count.
_RUNS = 3


def measure_operators(graph: Graph, inputs: Arrays) -> dict[str, float]:
    """Return each operator's share of the time of a run on one thread, the largest first."""
    with scratch_folder() as folder:
        session = open_graph(graph, profiled_to=folder / "run")
        for _ in range(_RUNS):
            session.run(None, dict(inputs))
        events = json.loads(Path(session.end_profiling()).read_text())
    times: Counter[str] = Counter()
    kernels = [
        event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    ]
    for event in kernels[len(kernels) // _RUNS :]:
        times[event["args"]["op_name"]] += event["dur"]
    total = sum(times.values())
    return {name: spent / total for name, spent in times.most_common()} if total else {}
