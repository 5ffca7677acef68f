"""Repeats the structural changes of steps on a new model, so that its weights fit."""

from collections.abc import Sequence

import torch

from export.artifacts import Context, Note
from export.pruning.stack import keep_layers
from export.pruning.structure import remove
from export.pruning.traced_rows import example_of
from export.step import Student
from export.training.students import make_student


def replay(module: torch.nn.Module, surgery: Sequence[Note], context: Context) -> torch.nn.Module:
    """Apply these structural changes in order to `module`, new from `context.trained.build()`, in place
    unless a student replaces it.

    The weights are arbitrary, and the caller loads the right ones."""
    for entry in surgery:
        module = _redo(module, entry, context)
    return module.eval()


def _redo(module: torch.nn.Module, entry: Note, context: Context) -> torch.nn.Module:
    match entry:
        case {"kind": "channels" | "heads" as kind, "removed": dict(removed)}:
            indices = {name: _numbers(value) for name, value in removed.items()}
            remove(module, kind, indices, example_of(context.data.calibration))
        case {"kind": "drop_layers", "stack": str(name), "kept": kept}:
            keep_layers(module, name, _numbers(kept))
        case {"kind": "student", "student": student}:
            return make_student(Student.model_validate(student), context.trained)
        case _:
            raise AssertionError(f"no step writes the surgery {entry}")
    return module


def _numbers(value: object) -> list[int]:
    assert isinstance(value, list), "steps write lists of numbers"
    return [int(number) for number in value]
