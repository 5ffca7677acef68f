"""A torch model is called with rows by name."""

from dataclasses import dataclass

import pytest
import torch

from export.errors import InvalidSource
from export.forward import bind, forward


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
    """Inputs are passed by name, and outputs come in the model's order."""
    assert forward(Weighted(), {"right": ONE, "left": THREE}) == (torch.tensor([2.0]), torch.tensor([4.0]))


def test_an_unknown_input_is_named() -> None:
    """A name that forward does not know is refused with those it knows."""
    with pytest.raises(InvalidSource, match=r"input 'up', but Weighted\.forward takes left, right"):
        forward(Weighted(), {"left": ONE, "up": THREE})


@dataclass
class Answer:
    """An output type as libraries define it."""

    scores: torch.Tensor
    more: object = None


def returning(outputs: object) -> torch.nn.Module:
    """A model that returns this."""
    model = torch.nn.Identity()
    model.register_forward_hook(lambda *_: outputs)
    return model


@pytest.mark.parametrize(
    "outputs",
    [
        [ONE, [THREE]],
        (None, ONE, THREE, None),
        (ONE, ({"deep": [THREE]},)),
        {"z": ONE, "a": (THREE,)},
        Answer(ONE, {"hidden": THREE}),
        (Answer(ONE), THREE),
    ],
    ids=str,
)
def test_outputs_come_in_order_whatever_they_are_nested_in(outputs: object) -> None:
    """Nested outputs come in their order from left to right, without None."""
    assert forward(returning(outputs), {"x": ONE}) == (ONE, THREE)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ("scores", r"^Identity returns an object of the type str as outputs, and .*; return tensors alone"),
        ((ONE, 3), r"of the type int as outputs\[1\], and"),
        ({"aux": [ONE, {ONE}]}, r"of the type set as outputs\['aux'\]\[1\], and"),
        (Answer(ONE, Answer), r"of the type type as outputs\.more, and"),
        ((None, []), "^Identity returns no tensor; return"),
    ],
    ids=str,
)
def test_what_is_no_tensor_is_named(outputs: object, message: str) -> None:
    """An output that is not a tensor is refused by its type and place."""
    with pytest.raises(InvalidSource, match=message):
        forward(returning(outputs), {"x": ONE})


class Masked(torch.nn.Module):
    """Takes its input second."""

    def forward(self, mask: torch.Tensor | None = None, x: torch.Tensor | None = None) -> torch.Tensor:
        """The input, unless it went to the mask."""
        assert mask is None
        assert x is not None
        return x


class Named(torch.nn.Module):
    """Takes inputs by name alone."""

    def forward(self, *, right: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
        """Return the difference."""
        return left - right


class Placed(torch.nn.Module):
    """Takes one input by its place alone."""

    def forward(self, right: torch.Tensor, /, left: torch.Tensor) -> torch.Tensor:
        """Return the difference."""
        return left - right


class Scaled(torch.nn.Module):
    """Takes one input, and an option."""

    def forward(self, pixels: torch.Tensor, scale: float = 2.0) -> torch.Tensor:
        """The input, scaled."""
        return scale * pixels


class OneNamed(torch.nn.Module):
    """Takes one input, by name alone."""

    def forward(self, *, pixels: torch.Tensor) -> torch.Tensor:
        """Return the input."""
        return pixels


class Passing(torch.nn.Module):
    """Returns its first input."""

    def forward(self, *inputs: torch.Tensor, **more: torch.Tensor) -> torch.Tensor:
        """The first input."""
        assert not more
        return inputs[0]


def test_a_single_input_goes_to_the_parameter_of_its_name() -> None:
    """A single input goes to the parameter of its name, even if it is not the first."""
    assert forward(Masked(), {"x": ONE}) == (ONE,)


@pytest.mark.parametrize("model", [Scaled(), OneNamed(), Passing(), torch.nn.Sequential()], ids=str)
def test_a_single_input_of_another_name_goes_where_there_is_no_choice(model: torch.nn.Module) -> None:
    """A single input of another name goes to the only required parameter, or to the only one."""
    assert forward(model, {"image": ONE})[0] in (ONE, 2 * ONE)


@pytest.mark.parametrize("model", [Named(), Masked()], ids=["two without a default", "two with one"])
def test_a_single_input_with_a_choice_is_refused(model: torch.nn.Module) -> None:
    """A single input is refused if several parameters could take it."""
    with pytest.raises(InvalidSource, match=r"input 'image', but \w+\.forward takes .*is not clear"):
        forward(model, {"image": ONE})


@pytest.mark.parametrize("model", [Named(), Placed()], ids=["keyword only", "positional only"])
@pytest.mark.parametrize("order", [("left", "right"), ("right", "left")], ids=" ".join)
def test_inputs_that_have_one_way_in_take_it(model: torch.nn.Module, order: tuple[str, str]) -> None:
    """Inputs that fit the parameters in one way are passed, whatever the order of the data."""
    values = {"left": THREE, "right": ONE}
    assert forward(model, {name: values[name] for name in order}) == (torch.tensor([2.0]),)


def test_arguments_stand_in_the_order_of_the_parameters() -> None:
    """Arguments are in the order of the parameters, as the graph's inputs will be."""
    assert list(bind(Weighted(), {"right": ONE, "left": THREE})[1]) == ["left", "right"]


@pytest.mark.parametrize("given", [{"left": ONE}, {"right": ONE}], ids=["right", "left"])
def test_a_parameter_without_a_value_is_named(given: dict[str, torch.Tensor]) -> None:
    """A missing input is named before the model is called."""
    [lacks] = {"left", "right"} - set(given)
    with pytest.raises(InvalidSource, match=rf"Weighted\.forward takes left, right, .*; add {lacks}"):
        forward(Weighted(), given)


def test_a_name_that_would_only_be_passed_on_is_refused() -> None:
    """An input that only `**more` would take is refused, because it may be ignored."""
    with pytest.raises(InvalidSource, match=r"input 'left', but Passing\.forward takes inputs, more"):
        forward(Passing(), {"left": ONE, "right": THREE})


class Collecting(torch.nn.Module):
    """Accepts any keyword."""

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Return the input `left`."""
        return inputs["left"]


def test_parameters_that_are_not_written_out_are_refused() -> None:
    """A forward with only `**inputs` is refused, and the error shows the needed form."""
    with pytest.raises(InvalidSource, match=r"takes only \*\*inputs, .*: forward\(self, left, right\)"):
        forward(Collecting(), {"left": ONE, "right": THREE})
