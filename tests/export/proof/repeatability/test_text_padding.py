"""A text has the same answer alone as padded beside longer ones; pooling without the mask is found."""

import numpy as np
import pytest
from onnx import TensorProto

from export.proof.repeatability.mixing import explain_dependence
from export.proof.repeatability.row_independence import PADDING, find_dependence
from serve.engine.session import Session
from tests.export.graphs import WORDS, Builder, encoder_graph, exported_of, split_of, texts, value


def pooled(pooling: str, *, masked: bool) -> bytes:
    """An embedding of each token, and the mean or the maximum over the tokens."""
    build = Builder()
    build.constant("middle", np.array([1], np.int64))
    build.constant("last", np.array([2], np.int64))
    mask = build.add("Unsqueeze", build.add("Cast", "attention_mask", to=int(TensorProto.FLOAT)), "last")
    x = build.add("Gather", build.weight("table", WORDS, 8, scale=1), "input_ids")
    kept = build.add("Mul", x, mask)
    if not masked:
        # The graph reads the mask but does not use it.
        build.constant("zero", np.array(0, np.float32))
        kept = build.add("Add", x, build.add("Mul", mask, "zero"))
    vector = build.add(pooling, kept, "middle", keepdims=0)
    if masked:
        vector = build.add("Div", vector, build.add("ReduceSum", mask, "middle", keepdims=0))
    build.add("MatMul", vector, build.weight("weight", 8, 3), output="scores")
    ids = [value(name, TensorProto.INT64, "batch", "tokens") for name in ("input_ids", "attention_mask")]
    return build.finish(ids, [value("scores", TensorProto.FLOAT, "batch", 3)])


def session_of(graph: bytes, *, alone: bool = False) -> Session:
    return Session(graph, exported_of(graph).signature, "tiny/fp32", alone=alone)


@pytest.mark.parametrize("pooling", ["ReduceMean", "ReduceMax"])
def test_pooling_without_the_mask_is_found_out(pooling: str) -> None:
    """Pooling without the mask is found to depend on the padding."""
    graph = pooled(pooling, masked=False)
    assert find_dependence(session_of(graph), graph, texts(16, 0)) == PADDING


@pytest.mark.parametrize("graph", [pooled("ReduceSum", masked=True), encoder_graph(1)])
def test_pooling_with_the_mask_is_taken(graph: bytes) -> None:
    """Pooling with the mask is accepted."""
    assert find_dependence(session_of(graph), graph, texts(16, 0)) is None


def test_texts_of_one_length_are_cut_to_find_it_out() -> None:
    """Rows of equal length are shortened to test the padding."""
    graph = pooled("ReduceMean", masked=False)
    ids = np.random.default_rng(0).integers(1, 100, (16, 12))
    rows = split_of({"input_ids": ids, "attention_mask": np.ones_like(ids)}, np.full(16, 12))
    assert find_dependence(session_of(graph), graph, rows) == PADDING


def test_texts_that_run_alone_are_not_padded() -> None:
    """With `rows: alone` texts are run one by one and keep their own answers."""
    graph, rows = pooled("ReduceMean", masked=False), texts(16, 0)
    alone = session_of(graph, alone=True)
    together = alone.run(rows.inputs)["scores"]
    each = [alone.run(rows.take(np.array([row])))["scores"] for row in range(16)]
    assert np.array_equal(together, np.concatenate(each))
    assert find_dependence(alone, graph, rows) is None


def test_the_likely_cause_is_named() -> None:
    """The refusal names pooling without the mask."""
    words = explain_dependence("tiny/fp32", b"", PADDING, None)
    assert "ignores attention_mask" in words
