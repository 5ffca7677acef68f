"""Measures in which operators a graph spends its time."""

import json
from collections import Counter

import onnxruntime

from export.scratch_folder import scratch_folder
from serve.base.tensor import Arrays

# The first run allocates memory; its times do not count.
_RUNS = 3


def measure_operators(graph: bytes, inputs: Arrays) -> dict[str, float]:
    """Return each operator's share of the time of a run on one thread, the largest first."""
    with scratch_folder() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "profile")
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        for _ in range(_RUNS):
            session.run(None, dict(inputs))
        with open(session.end_profiling(), encoding="utf-8") as file:
            events = json.load(file)
    times: Counter[str] = Counter()
    kernels = [
        event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    ]
    for event in kernels[len(kernels) // _RUNS :]:
        times[event["args"]["op_name"]] += event["dur"]
    total = sum(times.values())
    return {name: spent / total for name, spent in times.most_common()} if total else {}
