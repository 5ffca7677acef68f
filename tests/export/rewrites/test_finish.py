"""What nobody reads leaves the graph."""

import onnx

from export.rewrites.finish import finish
from tests.export.graphs import conv_graph


def test_dead_operators_go_with_their_weights() -> None:
    """Without its reader a convolution has no purpose; its weights have none either."""
    model = onnx.load_from_string(conv_graph())
    first, second = (node for node in model.graph.node if node.op_type == "Relu")
    pool = next(node for node in model.graph.node if node.op_type == "GlobalAveragePool")
    pool.input[0] = first.output[0]
    finish(model)
    assert second.output[0] not in {name for node in model.graph.node for name in node.output}
    assert "features.1.weight" not in {item.name for item in model.graph.initializer}
