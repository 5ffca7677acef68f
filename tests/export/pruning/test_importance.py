"""The importance of a weight: its size, or its effect on the loss."""

from dataclasses import replace

import pytest
import torch

from export.artifacts import Context
from export.errors import InvalidData
from export.pruning.importance import weigh


def test_l1_and_l2_order_single_weights_alike(digits: Context) -> None:
    """A larger absolute weight has the larger square."""
    module = digits.trained.build()  # type: ignore[misc]
    orders = [weigh(module, p, digits)["head.weight"].flatten().argsort(stable=True) for p in ("l1", "l2")]
    assert torch.equal(*orders)


def test_taylor_sees_what_the_loss_does_not_need(digits: Context) -> None:
    """Weights of a neuron that no layer reads have an importance of 0."""
    module = digits.trained.build()  # type: ignore[misc]
    head = module.get_parameter("head.weight")
    with torch.no_grad():
        head[:, 5] = 0
    assert weigh(module, "taylor", digits)["features.12.weight"][5].max() == 0


def test_taylor_without_labels_is_not_blind_at_the_baseline(bert: Context) -> None:
    """Without labels, `taylor` gives positive importance in each layer of the unchanged baseline."""
    worth = weigh(bert.trained.build(), "taylor", bert)  # type: ignore[misc]
    assert all(worth[name].max() > 0 for name in worth if name.endswith("dense.weight"))


def test_taylor_of_embeddings_is_not_blind_at_the_baseline(bert: Context) -> None:
    """`taylor` gives positive weights for embeddings of the unchanged baseline, too."""
    worth = weigh(bert.trained.build(), "taylor", replace(bert, task="embedding"))  # type: ignore[misc]
    assert all(worth[name].max() > 0 for name in worth if name.endswith("dense.weight"))


def test_taylor_needs_rows_to_train_on(digits: Context) -> None:
    """`taylor` without a train split is refused."""
    context = replace(digits, data=replace(digits.data, train=None))
    with pytest.raises(InvalidData, match="taylor"):
        weigh(digits.trained.build(), "taylor", context)  # type: ignore[misc]
