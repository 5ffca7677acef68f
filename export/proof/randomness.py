"""Randomness: a graph that answers the same rows otherwise each time it is asked."""

from typing import Any

import numpy as np
import onnx

from export.data.datasets import Split
from export.errors import ExportFailed
from export.onnx.graph import nodes_of
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


def require_repeatable(session: Session, graph: bytes, split: Split) -> None:
    """Raise ExportFailed unless the same rows, asked for again, are answered the same, bit by bit."""
    rows = split.take(np.arange(_ROWS, dtype=np.int64) % len(split))
    first, again = session.run(rows), session.run(rows)
    for name, answer in first.items():
        if not np.array_equal(answer, again[name], equal_nan=answer.dtype.kind == "f"):
            node = find_random(onnx.load_from_string(graph).graph)
            raise ExportFailed(
                f"{session.name} is random: it answers the same rows otherwise each time in {name!r}"
                f"{f' ({node} draws numbers)' if node else ''}; take the noise out of the model, or "
                "export it in eval mode"
            )


def find_random(graph: Any) -> str | None:
    """The first node that draws random numbers, such as "RandomNormalLike 'noise'"; None: none is known."""
    for node in nodes_of(graph):
        if node.op_type in _RANDOM or (node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]):
            return f"{node.op_type} {node.name or node.output[0]!r}"
    return None
