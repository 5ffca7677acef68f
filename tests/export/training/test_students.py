"""Students take the teacher's weights that fit, and no others."""

from typing import Any

import pytest
import torch

from export.artifacts import Trained
from export.errors import InvalidSource, StepFailed
from export.recipes.digits import digits_model
from export.reproducible import seed_everything
from export.step import Student
from export.training.students import make_student

FACTORY = "export.recipes.digits:digits_model"
GRAPH = Trained(name="digits.onnx", sha256="0" * 64, graph=b"", assets={})


def build() -> torch.nn.Module:
    """The teacher, the same each time."""
    seed_everything(0)
    return digits_model([4, 8, 8], 16)


TEACHER = Trained(name="digits", sha256="0" * 64, build=build, assets={})


def student(**arguments: Any) -> Student:
    """Return the student of the factory."""
    return Student(factory=FACTORY, arguments=arguments)


def test_weights_that_fit_are_taken_over() -> None:
    """Weights of the same shape are copied from the teacher, and others start at random."""
    made = make_student(student(widths=[4, 4, 4], hidden=16), TEACHER)
    taken = {
        name
        for name, value in build().state_dict().items()
        if value.shape == made.state_dict()[name].shape and torch.equal(value, made.state_dict()[name])
    }
    assert {"features.0.weight", "head.weight"} <= taken
    assert made.get_parameter("features.3.weight").shape == (4, 4, 3, 3)
    assert not made.training


def test_a_graph_has_no_weights_to_take_over() -> None:
    """A student of an ONNX file starts with random weights."""
    seed_everything(1)
    made = make_student(student(widths=[4, 8, 8], hidden=16), GRAPH)
    assert not torch.equal(made.get_parameter("head.weight"), build().get_parameter("head.weight"))


def test_changes_of_the_configuration_go_to_the_source() -> None:
    """A student by `config` is built by the source with these changes."""
    changes: list[Any] = []

    def build_with(change: Any) -> torch.nn.Module:
        changes.append(change)
        return torch.nn.Linear(1, 1)

    trained = Trained(name="bert", sha256="0" * 64, build=build, build_with=build_with, assets={})
    assert isinstance(make_student(Student(config={"num_hidden_layers": 2}), trained), torch.nn.Linear)
    assert changes == [{"num_hidden_layers": 2}]


def test_a_configuration_needs_a_model_of_hugging_face() -> None:
    """`config` for a model of a factory is refused, and the error suggests `factory`."""
    with pytest.raises(StepFailed, match="but digits is not one; give the student a `factory`"):
        make_student(Student(config={"layers": 2}), TEACHER)


def test_a_factory_must_return_a_module() -> None:
    """A student's factory that returns no module is refused."""
    with pytest.raises(InvalidSource, match="returned a dict; a student's factory returns a"):
        make_student(Student(factory="export.recipes.digits:digits_data"), TEACHER)
