"""Shared by the pruning tests: contexts of small untrained networks, on real or random rows."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from export.artifacts import Context, Trained
from export.data.datasets import Data, Split
from export.recipes.digits import digits_model
from export.reproducible import reproducible
from serve.bundles.meaning import Task

ContextOf = Callable[..., Context]


@pytest.fixture(autouse=True)
def _as_in_an_export() -> Iterator[None]:
    with reproducible():
        yield


@pytest.fixture
def context_of(tmp_path: Path, data: Data) -> ContextOf:
    """The context of a network that takes digits, or these rows."""

    def make(
        build: Callable[[], torch.nn.Module], rows: Data = data, task: Task = "classification"
    ) -> Context:
        def seeded() -> torch.nn.Module:
            torch.manual_seed(0)
            return build().eval()

        trained = Trained(name="tiny", sha256=str(tmp_path), build=seeded, assets={})
        return Context(
            trained=trained, task=task, data=rows, seed=0, scratch=tmp_path / "work", logs=tmp_path / "logs"
        )

    return make


@pytest.fixture
def digits(context_of: ContextOf) -> Context:
    """The digits network, narrow."""
    return context_of(lambda: digits_model((8, 16, 16), 24))


@pytest.fixture
def bert(context_of: ContextOf) -> Context:
    """BERT with three layers of four heads on made tokens without labels; three classes."""
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=16,
        num_labels=3,  # type: ignore[call-arg]
    )
    rows = Data(train=_texts(64, 0), calibration=_texts(32, 1), search=_texts(16, 2), held_out=_texts(16, 3))
    return context_of(lambda: transformers.BertForSequenceClassification(config), rows)


def _texts(rows: int, seed: int) -> Split:
    random = np.random.default_rng(seed)
    lengths = random.integers(3, 9, rows)
    mask = (np.arange(8) < lengths[:, None]).astype(np.int64)
    return Split(
        inputs={"input_ids": random.integers(1, 50, (rows, 8)) * mask, "attention_mask": mask},
        labels=None,
        lengths=lengths,
        row_hashes=tuple(f"{seed}-{row}" for row in range(rows)),
    )
