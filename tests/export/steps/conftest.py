"""Shared by the tests of graph steps: a convolutional graph, an encoder, and the context of a step on
each."""

import pytest

from export.artifacts import Context, Exported
from tests.export.graphs import context_for, conv_graph, encoder_graph, exported_of, images, texts


@pytest.fixture(scope="module")
def of_images(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """What a step on the convolutional graph is given."""
    return context_for("classification", images(32, 0), images(64, 1), tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def of_texts(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """What a step on the encoder is given."""
    return context_for("embedding", texts(32, 0), texts(64, 1), tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def convolutional() -> Exported:
    """A float graph of convolutions."""
    return exported_of(conv_graph())


@pytest.fixture(scope="module")
def encoder() -> Exported:
    """A float graph of attention."""
    return exported_of(encoder_graph())
