"""A torch model is called with rows by name."""

import pytest
import torch

from export.errors import InvalidSource
from export.forward import forward


class Weighted(torch.nn.Module):
    """Two inputs whose order matters; answers in a dict."""

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> dict[str, torch.Tensor]:
        """The difference and the sum."""
        return {"difference": left - right, "sum": left + right}


ONE, THREE = torch.tensor([1.0]), torch.tensor([3.0])


def test_a_single_input_needs_no_matching_name() -> None:
    """A model with one input takes the data's only input, whatever its name."""
    assert forward(torch.nn.Identity(), {"image": ONE}) == (ONE,)


def test_several_inputs_go_by_name() -> None:
    """The order of the data's inputs does not matter, the order of the outputs is the model's."""
    assert forward(Weighted(), {"right": ONE, "left": THREE}) == (torch.tensor([2.0]), torch.tensor([4.0]))


def test_an_unknown_input_is_named() -> None:
    """A name that forward does not know is refused with those it knows."""
    with pytest.raises(InvalidSource, match=r"input 'up', but Weighted\.forward takes left, right"):
        forward(Weighted(), {"left": ONE, "up": THREE})


def test_outputs_must_be_tensors() -> None:
    """Anything else than tensors cannot become an output of a graph."""
    model = torch.nn.Identity()
    model.register_forward_hook(lambda *_: ["no tensor"])
    with pytest.raises(InvalidSource, match=r"Identity returns .*expected tensors"):
        forward(model, {"x": ONE})
