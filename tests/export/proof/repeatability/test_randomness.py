"""A graph that draws random numbers is refused as such."""

import pytest
from onnx import TensorProto, helper

from export.errors import ExportFailed
from export.proof.repeatability.randomness import require_repeatable
from tests.export.graphs import Builder
from tests.export.proof.repeatability.test_row_independence import ROWS, centred, graph_of, linear, session_of


def noisy() -> bytes:
    build = Builder()
    linear(build, build.add("Add", "x", build.add("RandomNormalLike", "x", scale=0.02)))
    return graph_of(build)


def dropped() -> bytes:
    build = Builder()
    ratio = build.add("Constant", value=helper.make_tensor("half", TensorProto.FLOAT, [], [0.5]))
    training = build.add("Constant", value=helper.make_tensor("yes", TensorProto.BOOL, [], [True]))
    linear(build, build.add("Dropout", "x", ratio, training))
    return graph_of(build)


@pytest.mark.parametrize(
    ("graph", "node"), [(noisy(), "RandomNormalLike 'node_randomnormallike_0'"), (dropped(), "Dropout")]
)
def test_a_random_graph_is_named(graph: bytes, node: str) -> None:
    """A graph that draws random numbers is refused, and the error names the node."""
    with pytest.raises(ExportFailed, match=f"is random.*{node}.* draws numbers"):
        require_repeatable(session_of(graph), graph, ROWS)


def test_a_graph_that_mixes_rows_is_not_random() -> None:
    """A graph that mixes rows passes, as it repeats its answers."""
    require_repeatable(session_of(centred()), centred(), ROWS)
