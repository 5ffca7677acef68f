"""Compares the CPU time of several graphs, measured in turns, so that a slow minute of the machine affects
all of them."""

import statistics
import time
from collections.abc import Mapping

import onnxruntime

from serve.base.tensor import Arrays

# Approximate duration of a sample with the first graph, far above the resolution of the clock.
_SAMPLE_S = 0.05


def compare_speed(
    sessions: Mapping[str, onnxruntime.InferenceSession], inputs: Arrays, rounds: int = 15
) -> dict[str, float]:
    """Return how many times less CPU time than the first session each takes for these inputs: the median over
    rounds."""
    for session in sessions.values():
        session.run(None, dict(inputs))
    first = next(iter(sessions.values()))
    repeats = max(1, round(_SAMPLE_S / _time(first, inputs, 2)))
    rows = [
        {name: _time(session, inputs, repeats) for name, session in sessions.items()} for _ in range(rounds)
    ]
    base = next(iter(sessions))
    return {name: statistics.median(row[base] / row[name] for row in rows) for name in sessions}


def _time(session: onnxruntime.InferenceSession, inputs: Arrays, repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        session.run(None, dict(inputs))
    return (time.process_time() - start) / repeats
