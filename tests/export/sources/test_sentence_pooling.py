"""An ONNX file with a vector for each token gets the embedding that the recipe asks for."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper

from export.errors import InvalidSource
from export.onnx.from_onnx import from_onnx
from export.recipe import OnnxSource
from export.sources.read_trained import read_trained
from export.sources.sentence_pooling import pool
from serve.base.errors import InvalidRecord
from tests.export.graphs import split_of
from tests.export.onnx_files import FLOAT, INT64, answers, file_of, random

TABLE = random(9, 5)
IDS = np.array([[1, 2, 3, 4], [5, 6, 0, 0], [7, 0, 0, 0], [8, 8, 1, 0]])
ROWS = {"input_ids": IDS, "attention_mask": (IDS > 0).astype(np.int64)}


def encoder(*outputs: str, opset: int = 17, mask: str = "attention_mask") -> bytes:
    """A file that looks up a vector for each token, under these names."""
    nodes = [helper.make_node("Gather", ["table", "input_ids"], [name]) for name in outputs]
    inputs = [(name, INT64, ["n", "s"]) for name in ("input_ids", mask)]
    return file_of(
        nodes, inputs, [(name, FLOAT, ["n", "s", 5]) for name in outputs], {"table": TABLE}, standard=opset
    )


def expected(first_token: bool, normalize: bool) -> NDArray[Any]:
    """What sentence-transformers computes."""
    tokens, mask = torch.tensor(TABLE[IDS]), torch.tensor(ROWS["attention_mask"])[..., None]
    pooled = tokens[:, 0] if first_token else (tokens * mask).sum(1) / mask.sum(1)
    return np.asarray(torch.nn.functional.normalize(pooled, dim=1) if normalize else pooled)


@pytest.mark.parametrize("opset", [9, 13, 20])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("first_token", [True, False])
def test_embeddings_are_those_of_sentence_transformers(
    first_token: bool, normalize: bool, opset: int
) -> None:
    """The mean without the padding or the first token, of length 1 or not, in old operator sets, too."""
    graph = pool("m.onnx", encoder("y", opset=opset), first_token=first_token, normalize=normalize)
    [_, embedding] = answers(graph, **ROWS)
    np.testing.assert_allclose(embedding, expected(first_token, normalize), rtol=1e-5, atol=1e-6)


def test_a_recipe_asks_for_it(tmp_path: Path) -> None:
    """`pooling: mean` gives an output that can be exported, with a fixed width and texts of any length."""
    (tmp_path / "m.onnx").write_bytes(encoder("pooler", "last_hidden_state"))
    source = OnnxSource(onnx="m.onnx", pooling="mean", normalize=False)
    trained = read_trained(source, tmp_path, "embedding")
    assert trained.graph is not None
    rows = split_of({name: np.tile(array, (1, 3))[:, :8] for name, array in ROWS.items()})
    exported = from_onnx(trained.graph, rows, ("sentence_embedding",))
    [output] = exported.signature.outputs
    assert (output.name, output.shape) == ("sentence_embedding", ("batch", 5))
    assert "pooler" not in {item.name for item in onnx.load_from_string(exported.graph).graph.output}


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (encoder("one", "other"), r"needs one output \[batch, tokens, width\].*one \['n', 's', 5\], other"),
        (encoder("sentence_embedding"), "has an output 'sentence_embedding' already"),
        (encoder("y", mask="mask"), "input 'attention_mask', which m.onnx does not take"),
    ],
)
def test_a_file_that_cannot_be_pooled_is_refused(graph: bytes, message: str) -> None:
    """The error tells what the file has, and what to do."""
    with pytest.raises(InvalidSource, match=message):
        pool("m.onnx", graph, first_token=False, normalize=True)


def test_a_length_without_a_pooling_is_refused() -> None:
    """`normalize` says nothing without `pooling`."""
    with pytest.raises(InvalidRecord, match="`normalize` needs a `pooling`"):
        OnnxSource.parse({"onnx": "m.onnx", "normalize": True}, "source")
