"""Single weights become zero: as many as were asked for, the smallest, in the layers that were named."""

from typing import Any

import pytest
import torch

from export.artifacts import Context, Made
from export.errors import StepFailed
from export.step import Prune
from export.steps.prune import prune


def pruned(context: Context, remove: Any = "weights", **settings: Any) -> Made:
    made = Made(module=context.trained.build())  # type: ignore[misc]
    return prune(made, Prune(step="prune", remove=remove, **settings), context)


def zeros(made: Made) -> dict[str, float]:
    return {
        name: float((value == 0).float().mean())
        for name, value in made.module.named_parameters()
        if not name.endswith("bias")  # the biases of a fresh batch norm are zero
    }


def test_the_ratio_holds_within_every_layer(digits: Context) -> None:
    """Half of each layer's weights are zero, and biases and norms are unchanged."""
    shares = {name: share for name, share in zeros(pruned(digits, ratio=0.5)).items() if share}
    assert set(shares.values()) == {0.5}
    assert list(shares) == [f"features.{layer}.weight" for layer in (0, 3, 7, 12)] + ["head.weight"]


def test_the_smallest_go(digits: Context) -> None:
    """Each removed weight is at most as large as each remaining one."""
    before = digits.trained.build().get_parameter("head.weight")  # type: ignore[misc]
    gone = pruned(digits, ratio=0.5).module.get_parameter("head.weight") == 0
    assert before[gone].abs().max() <= before[~gone].abs().min()


def test_the_ratio_holds_over_all_layers_together(digits: Context) -> None:
    """With `scope: global` half of all weights are zero, and not half of each layer."""
    made = pruned(digits, ratio=0.5, scope="global")
    assert made.notes[-1]["zeros"] == 0.5
    assert zeros(made)["features.0.weight"] != 0.5


def test_the_threshold_is_one_of_the_absolute_weight(digits: Context) -> None:
    """Weights whose absolute value is below the threshold become zero, and no others."""
    before = digits.trained.build().get_parameter("head.weight")  # type: ignore[misc]
    after = pruned(digits, threshold=0.05).module.get_parameter("head.weight")
    assert torch.equal(after == 0, before.abs() < 0.05)


def test_of_every_four_inputs_two_go(digits: Context) -> None:
    """With `2:4`, two of every four inputs are zero."""
    weight = pruned(digits, "2:4").module.get_parameter("features.3.weight")
    assert set((weight.reshape(-1, 4) == 0).sum(1).tolist()) == {2}


def test_layers_that_cannot_have_the_pattern_are_said(digits: Context) -> None:
    """A convolution with 9 inputs cannot have the pattern and is listed in the note."""
    made = pruned(digits, "2:4")
    assert made.notes[-1]["left_out"] == ["features.0.weight"]
    assert "features.0.weight" not in made.pruned


def test_the_pattern_where_no_layer_can_have_it(digits: Context) -> None:
    """If no layer can have the pattern, the error names the layers and their inputs."""
    with pytest.raises(StepFailed, match=r"divide by 4, and features\.0\.weight has 9"):
        pruned(digits, "2:4", layers=("features.0",))


def test_pruned_parameters_are_told(digits: Context) -> None:
    """The result lists the pruned parameters, so that later training keeps their zeros."""
    assert pruned(digits, ratio=0.5, layers=("features.*",), keep=("*.0",)).pruned == {
        "features.3.weight",
        "features.7.weight",
        "features.12.weight",
    }


def test_a_row_costs_what_it_did(digits: Context) -> None:
    """Zeros of single weights do not reduce the multiply-adds."""
    costs: Any = pruned(digits, ratio=0.5).notes[-1]["multiply_adds"]
    before, after = costs
    assert before == after


def test_taylor_takes_other_weights(digits: Context) -> None:
    """`taylor` prunes other weights than `l1`."""
    one, other = (pruned(digits, ratio=0.5, importance=name).module for name in ("l1", "taylor"))
    assert not torch.equal(one.get_parameter("head.weight"), other.get_parameter("head.weight"))


def test_recurrent_weights_go_too(context_of: Any) -> None:
    """The matrices of a GRU are pruned, and its biases are not."""

    class Reader(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = torch.nn.GRU(8, 4, batch_first=True)
            self.head = torch.nn.Linear(4, 10)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.head(self.gru(image[:, 0])[0][:, -1])
            return scores

    assert pruned(context_of(Reader), ratio=0.5, layers=("gru",)).pruned == {
        "gru.weight_ih_l0",
        "gru.weight_hh_l0",
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 1e-9}, "threshold 1e-09 removed none of 5304 weights"),
        ({"threshold": 99.0}, "leaves no weight of features.0.weight"),
        ({"ratio": 0.5, "layers": ("hed",)}, "did you mean 'head'"),
        ({"ratio": 0.5, "keep": ("*",)}, "leaves no layer to prune"),
    ],
)
def test_what_makes_no_sense_is_an_error(digits: Context, settings: dict[str, Any], message: str) -> None:
    """An invalid setting is refused with the value and the fix."""
    with pytest.raises(StepFailed, match=message):
        pruned(digits, **settings)


def test_a_shared_weight_is_pruned_by_either_name(context_of: Any) -> None:
    """A shared weight is pruned under either name."""

    def tied() -> torch.nn.Module:
        layers = [torch.nn.Linear(64, 64), torch.nn.Linear(64, 64), torch.nn.Linear(64, 10)]
        layers[1].weight = layers[0].weight
        return torch.nn.Sequential(torch.nn.Flatten(), *layers)

    made = pruned(context_of(tied), ratio=0.5, layers=("2",))
    assert zeros(made)["1.weight"] == 0.5
