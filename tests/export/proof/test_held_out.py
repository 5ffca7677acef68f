"""Held-out answers come from the server's session, in the order of the rows."""

import numpy as np
import pytest
from onnx import TensorProto

from export.data.datasets import Split, read_split
from export.errors import ExportFailed
from export.proof.held_out import answers
from serve.engine.session import Session
from tests.export.graphs import Builder, encoder_graph, exported_of, split_of, texts, value


def session_of(graph: bytes) -> Session:
    return Session(graph, exported_of(graph).signature, "tiny/fp32")


def lengths_of(split: Split) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    assert split.lengths is not None
    return np.asarray(split.lengths).reshape(-1)


def token_graph() -> bytes:
    """Two scores per token: its number, and 0."""
    build = Builder()
    build.constant("last", np.array([-1], np.int64))
    ids = build.add("Unsqueeze", build.add("Cast", "input_ids", to=int(TensorProto.FLOAT)), "last")
    mask = build.add("Unsqueeze", build.add("Cast", "attention_mask", to=int(TensorProto.FLOAT)), "last")
    build.add("Concat", build.add("Mul", ids, mask), build.add("Sub", ids, ids), output="scores", axis=-1)
    names = ("input_ids", "attention_mask")
    inputs = [value(name, TensorProto.INT64, "batch", "tokens") for name in names]
    return build.finish(inputs, [value("scores", TensorProto.FLOAT, "batch", "tokens", 2)])


def test_every_row_is_answered_as_if_it_were_alone() -> None:
    """150 texts in batches of similar length give the same answers as alone, in their order."""
    session, split = session_of(encoder_graph(1)), texts(150, 0)
    came = answers(session, split)["embedding"]
    for row in (0, 1, 77, 149):
        alone = session.run(split.take(np.array([row])))["embedding"][0]
        np.testing.assert_allclose(came[row], alone, rtol=1e-4, atol=1e-5)


def test_tokens_that_a_row_does_not_have_are_no_answers() -> None:
    """The answers for tokens that a row does not have are NaN."""
    split = texts(100, 0)
    came = answers(session_of(token_graph()), split)["scores"]
    assert came.shape == (100, int(lengths_of(split).max()), 2)
    np.testing.assert_array_equal((~np.isnan(came[:, :, 0])).sum(axis=1), lengths_of(split))


@pytest.mark.parametrize(
    ("value_of_row", "reason"),
    [(-1, "the held-out rows 3: the model overflows"), (np.nan, "input 'x' of held-out row 3 holds NaN")],
    ids=["of the model", "of the input"],
)
def test_answers_that_are_no_numbers_are_refused(value_of_row: float, reason: str) -> None:
    """A NaN among the answers is refused, and the error tells whether the input of the row holds one."""
    build = Builder()
    build.add("Sqrt", "x", output="y")
    numbers = [value(name, TensorProto.FLOAT, "batch", 2) for name in ("x", "y")]
    session = session_of(build.finish(numbers[:1], numbers[1:]))
    rows = np.ones((5, 2), np.float32)
    rows[3] = value_of_row
    with pytest.raises(ExportFailed, match=rf"tiny/fp32 gives NaN.*{reason}"):
        answers(session, split_of({"x": rows}))


def test_rows_of_several_sizes_have_answers_of_several_sizes() -> None:
    """Rows of one size run together, and what a smaller row does not have is NaN."""
    build = Builder()
    build.add("Neg", "x", output="y")
    shapes = [value(name, TensorProto.FLOAT, "batch", "width") for name in ("x", "y")]
    rows = [np.arange(size, dtype=np.float32) + size for size in (2, 3, 2, 4)]
    split = read_split("made", ({"x": rows}, None), None, of_file=True)
    came = answers(session_of(build.finish(shapes[:1], shapes[1:])), split)["y"]
    assert came.shape == (4, 4)
    for row, answer in zip(rows, came, strict=True):
        np.testing.assert_array_equal(answer[: len(row)], -row)
        assert np.isnan(answer[len(row) :]).all()


def test_an_output_that_is_empty_for_all_rows_is_refused() -> None:
    """An output that is empty for all rows is refused."""
    build = Builder()
    build.add("Relu", "x", output="y")
    shapes = [value(name, TensorProto.FLOAT, "batch", "width") for name in ("x", "y")]
    session = session_of(build.finish(shapes[:1], shapes[1:]))
    with pytest.raises(ExportFailed, match=r"output 'y' is empty, \[5, 0\]"):
        answers(session, split_of({"x": np.ones((5, 0), np.float32)}))
