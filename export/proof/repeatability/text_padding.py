"""Checks whether the answer to a text depends on its padding.

The server pads texts of different clients to the length of the longest in a run. With a graph that reads the
padding, such as a mean over all tokens that ignores the mask, the answer to one client would depend on the
length of another client's text."""

from collections.abc import Iterator

import numpy as np

from export.data.datasets import Split
from export.data.inputs import MASK, TOKENS
from export.proof.repeatability.run_tolerance import are_other_answers
from serve.base.errors import ModelFailed
from serve.base.tensor import Arrays, Signature
from serve.bundles.onnx_graph import Graph
from serve.engine.batch import Joining
from serve.engine.session import Session

# Tokens of padding after a text.
_PADDINGS = (1, 2, 8)


def depends_on_padding(session: Session, graph: Graph, split: Split) -> bool:
    """Whether the answer to a real text of `split` changes if a longer text is in the same run."""
    if not _is_padded(session.signature, split):
        return False
    joining = Joining(signature=session.signature, full_rows=2, pads=_find_pads(split))
    for text, longer in _pairs(split):
        alone = session.run(text)
        try:
            answers = session.run(joining.join([text, longer]))
        except ModelFailed:
            # In this case, the server runs each request separately.
            continue
        beside, _ = joining.split([text, longer], answers)
        if are_other_answers(graph, text, alone, beside):
            return True
    return False


def _is_padded(signature: Signature, split: Split) -> bool:
    """Whether all inputs hold tokens, of any length."""
    return split.lengths is not None and all(
        len(spec.shape) == 2 and isinstance(spec.shape[1], str) and TOKENS in split.dims[spec.name]
        for spec in signature.inputs
    )


def _pairs(split: Split) -> Iterator[tuple[Arrays, Arrays]]:
    """Yield short texts, each with a text that is longer by the tokens of padding."""
    assert split.lengths is not None, "texts have lengths"
    order = np.argsort(split.lengths, kind="stable")
    longest = int(split.lengths[order[-1]])
    for row in (order[0], order[len(order) // 2]):
        for padding in _PADDINGS:
            # The graph is known to take the length of the longest text.
            tokens = min(int(split.lengths[row]), longest - padding)
            if tokens > 0:
                yield _cut(split, int(row), tokens), _cut(split, int(order[-1]), tokens + padding)


def _cut(split: Split, row: int, tokens: int) -> Arrays:
    return {name: array[row : row + 1, :tokens] for name, array in split.inputs.items()}


def _find_pads(split: Split) -> dict[str, int]:
    """Return the padding of the shortest text; 0 if all texts are equally long."""
    assert split.lengths is not None, "texts have lengths"
    row = int(split.lengths.argmin())
    padded = int(split.lengths[row]) < split.inputs[MASK].shape[1]
    return {name: int(array[row, -1]) if padded else 0 for name, array in split.inputs.items()}
