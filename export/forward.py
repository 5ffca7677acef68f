"""Calls a torch model with inputs by name, and returns its outputs as a tuple of tensors."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from inspect import Parameter
from typing import Any

import torch

from export.errors import InvalidSource
from serve.base.tensor import Arrays

Tensors = dict[str, torch.Tensor]
Arguments = tuple[tuple[torch.Tensor, ...], Tensors]

_ANY = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def to_tensors(arrays: Arrays) -> Tensors:
    """Convert arrays to tensors. Raises InvalidSource for strings, which torch does not support."""
    for name, array in arrays.items():
        if array.dtype.kind == "O":
            raise InvalidSource(
                f"the input {name!r} holds strings, which torch modules do not take; give a student numbers, "
                "or leave out the step"
            )
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def bind(model: torch.nn.Module, inputs: Tensors) -> Arguments:
    """Return the positional and named arguments of `forward`, in the order of its parameters.

    Each input goes to the parameter of its name; a single input may have another name if there is only one
    choice. Raises InvalidSource if the parameter of an input is not clear, or a parameter has no input."""
    parameters = inspect.signature(model.forward).parameters
    if [item.kind for item in parameters.values()] == [Parameter.VAR_KEYWORD]:
        raise InvalidSource(
            f"{type(model).__name__}.forward takes only **{next(iter(parameters))}, and torch cannot record "
            f"such a call; write out its parameters: forward(self, {', '.join(inputs)})"
        )
    if len(inputs) == 1 and not _takes(parameters, *inputs):
        [value] = inputs.values()
        return _bind_only(model, parameters, value, *inputs)
    for name in inputs:
        if not _takes(parameters, name):
            raise InvalidSource(
                f"the data has the input {name!r}, but {_describe(model, parameters)}; name the data's "
                "inputs like its parameters"
            )
    for name in _required(parameters):
        if name not in inputs:
            raise InvalidSource(
                f"{_describe(model, parameters)}, but the data has only {', '.join(inputs)}; add {name}"
            )
    order = [name for name in parameters if name in inputs]
    first = order[: _count_recorded(model)]
    first += [name for name in order if parameters[name].kind is Parameter.POSITIONAL_ONLY]
    return tuple(inputs[name] for name in first), {name: inputs[name] for name in order if name not in first}


def forward(model: torch.nn.Module, inputs: Tensors) -> tuple[torch.Tensor, ...]:
    """Run the model and return its outputs in order, without their containers. Raises InvalidSource."""
    args, kwargs = bind(model, inputs)
    return flatten(model, model(*args, **kwargs))


def _bind_only(
    model: torch.nn.Module, parameters: Mapping[str, Parameter], value: torch.Tensor, name: str
) -> Arguments:
    """Pass the only input to the only possible parameter."""
    possible = _required(parameters) or [key for key, item in parameters.items() if item.kind not in _ANY]
    if len(possible) > 1:
        raise InvalidSource(
            f"the data has the input {name!r}, but {_describe(model, parameters)}, and the parameter of this "
            "input is not clear; give the data's input the name of its parameter"
        )
    if possible and parameters[possible[0]].kind is Parameter.KEYWORD_ONLY:
        return (), {possible[0]: value}
    return (value,), {}


def _count_recorded(model: torch.nn.Module) -> int:
    """Return the number of positional arguments of a torch.export program."""
    recorded: Any = getattr(getattr(model, "graph", None), "_codegen", None)
    spec = getattr(getattr(recorded, "pytree_info", None), "in_spec", None)
    return 0 if spec is None else int(spec.child(0).num_children)


def _takes(parameters: Mapping[str, Parameter], name: str) -> bool:
    return name in parameters and parameters[name].kind not in _ANY


def _required(parameters: Mapping[str, Parameter]) -> list[str]:
    return [
        name for name, item in parameters.items() if item.kind not in _ANY and item.default is Parameter.empty
    ]


def _describe(model: torch.nn.Module, parameters: Mapping[str, Parameter]) -> str:
    return f"{type(model).__name__}.forward takes {', '.join(parameters) or 'nothing'}"


def flatten(model: torch.nn.Module, outputs: Any) -> tuple[torch.Tensor, ...]:
    """Return the tensors of the model's outputs in order, however nested; None is skipped. Raises
    InvalidSource for anything else."""
    tensors = tuple(_list_tensors(model, outputs, ""))
    if not tensors:
        raise InvalidSource(f"{type(model).__name__} returns no tensor; return the answer for each row")
    return tensors


def _list_tensors(model: torch.nn.Module, value: Any, place: str) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif value is not None:
        for key, item in _list_items(model, value, place):
            yield from _list_tensors(model, item, f"{place}{key}")


def _list_items(model: torch.nn.Module, value: Any, place: str) -> list[tuple[str, Any]]:
    """Return the items of a container, each with the Python expression of its place."""
    if isinstance(value, Mapping):
        return [(f"[{key!r}]", item) for key, item in value.items()]
    if isinstance(value, tuple | list):
        return [(f"[{index}]", item) for index, item in enumerate(value)]
    if is_dataclass(value) and not isinstance(value, type):
        return [(f".{field.name}", getattr(value, field.name)) for field in fields(value)]
    raise InvalidSource(
        f"{type(model).__name__} returns an object of the type {type(value).__name__} as outputs{place}, and "
        "a graph gives tensors; return tensors alone, in tuples, lists, dicts or dataclasses"
    )
