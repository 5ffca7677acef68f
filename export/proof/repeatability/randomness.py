"""Refuses a graph that gives the same rows another answer in each run."""

from typing import Any

import numpy as np

from export.data.datasets import Split
from export.errors import ExportFailed
from export.onnx.graph import nodes_of
from export.onnx.model_proto import load
from serve.bundles.onnx_graph import Graph
from serve.engine.session import Session

_RANDOM = (
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
)
_ROWS = 4


def require_repeatable(session: Session, graph: Graph, split: Split) -> None:
    """Raise ExportFailed unless two runs with the same rows give identical answers."""
    rows = split.take_like(_ROWS)
    first, again = session.run(rows), session.run(rows)
    for name, answer in first.items():
        if not np.array_equal(answer, again[name], equal_nan=answer.dtype.kind == "f"):
            node = find_random(load(graph).graph)
            raise ExportFailed(
                f"{session.name} is random: its output {name!r} differs each time for the same rows"
                f"{f' ({node} draws numbers)' if node else ''}; remove the noise "
                "from the model, or export it in eval mode"
            )


def find_random(graph: Any) -> str | None:
    """Return the first node that draws random numbers, such as "Multinomial 'z'"; None if there is none."""
    for node in nodes_of(graph):
        if node.op_type in _RANDOM or (node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]):
            return f"{node.op_type} {node.name or node.output[0]!r}"
    return None
