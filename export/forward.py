"""Forward: how this room calls a torch model: rows in by name, outputs as a tuple of tensors."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from export.errors import InvalidSource
from serve.tensor import Arrays

Tensors = dict[str, torch.Tensor]


def to_tensors(arrays: Arrays) -> Tensors:
    """Arrays as torch sees them."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def bind(model: torch.nn.Module, inputs: Tensors) -> tuple[tuple[torch.Tensor, ...], Tensors]:
    """Positional and named arguments of `forward`: a single input needs no matching name, several do.

    Raises InvalidSource when a name is no parameter of `forward`."""
    if len(inputs) == 1:
        return tuple(inputs.values()), {}
    parameters = inspect.signature(model.forward).parameters
    for name in inputs:
        if name not in parameters:
            raise InvalidSource(
                f"the data has the input {name!r}, but {type(model).__name__}.forward takes "
                f"{', '.join(parameters)}; name the data's inputs like its parameters"
            )
    return (), inputs


def forward(model: torch.nn.Module, inputs: Tensors) -> tuple[torch.Tensor, ...]:
    """The model's outputs in order, whatever they come wrapped in. Raises InvalidSource."""
    args, kwargs = bind(model, inputs)
    return _flatten(model, model(*args, **kwargs))


def _flatten(model: torch.nn.Module, outputs: Any) -> tuple[torch.Tensor, ...]:
    if isinstance(outputs, torch.Tensor):
        return (outputs,)
    values = tuple(outputs.values() if isinstance(outputs, Mapping) else outputs)
    if not all(isinstance(value, torch.Tensor) for value in values):
        raise InvalidSource(f"{type(model).__name__} returns {values!r:.80}; expected tensors")
    return values
