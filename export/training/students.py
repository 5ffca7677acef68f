"""Makes the separate student network of a distillation."""

import torch

from export.artifacts import Trained
from export.errors import InvalidSource, StepFailed
from export.factories import call_factory
from export.step import Student


def make_student(student: Student, trained: Trained) -> torch.nn.Module:
    """Return the student in evaluation mode, with every trained weight whose name and shape fit. Raises
    StepFailed or InvalidSource."""
    if student.config is not None:
        if trained.build_with is None:
            raise StepFailed(
                f"a student by `config` changes the configuration of a Hugging Face model, but "
                f"{trained.name} is not one; give the student a `factory` instead"
            )
        return trained.build_with(student.config).eval()
    assert student.factory is not None, "a student has a config or a factory"
    module = call_factory(student.factory, student.arguments)
    if not isinstance(module, torch.nn.Module):
        raise InvalidSource(
            f"{student.factory} returned a {type(module).__name__}; a student's factory returns a "
            "torch.nn.Module"
        )
    if trained.build is not None:
        _inherit(module, trained.build())
    return module.eval()


def _inherit(module: torch.nn.Module, teacher: torch.nn.Module) -> None:
    own = module.state_dict()
    fitting = {
        name: value
        for name, value in teacher.state_dict().items()
        if name in own and own[name].shape == value.shape
    }
    module.load_state_dict(fitting, strict=False)
