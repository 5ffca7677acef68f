"""Marks recurrent and attention modules, and inputs, as indivisible for torch-pruning."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch_pruning
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from export.forward import Tensors

# torch has a class for attention; transformers and others name their classes ...Attention.
_WORD = "Attention"
INSEPARABLE = "recurrent and attention modules stay whole"
_JOINING = (torch.cat, torch.concat, torch.concatenate, torch.hstack, torch.column_stack)


@contextmanager
def seen_as_whole(module: torch.nn.Module) -> Iterator[None]:
    """While the context lasts, autograd sees each of these modules as one operation called `Whole`, so
    torch-pruning does not look into it, and layers next to it can be recognized."""
    with ExitStack() as stack:
        for part in module.modules():
            if part is not module and _is_inseparable(part):
                handle = part.register_forward_hook(_close, with_kwargs=True)
                stack.callback(handle.remove)
        yield


def close_inputs(inputs: Tensors) -> Tensors:
    """Return the model's inputs as results of such an operation, so that values added to them cannot lose
    channels."""
    return {name: _close_one(value) if value.is_floating_point() else value for name, value in inputs.items()}


class Closing(TorchFunctionMode):
    """While the context lasts, a constant in a concatenation counts as an input: autograd does not show it,
    and the positions of the following parts would be wrong."""

    def __torch_function__(self, function: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function with such constants marked."""
        if function in _JOINING:
            args, kwargs = tree_map(_close_constant, (args, kwargs))
        return function(*args, **(kwargs or {}))


def is_whole(operation: object) -> bool:
    """Whether a module or operation of torch-pruning represents one of these modules."""
    # Only the text of an operation shows autograd's name.
    called = repr(operation) if isinstance(operation, torch_pruning.ops._ElementWiseOp) else ""
    return Whole.__name__ in called or Given.__name__ in called or _is_inseparable(operation)


def explain_whole(operation: object, names: Mapping[Any, str]) -> str:
    """Return why channels coupled with such an operation cannot be removed. `names` has the names of the
    modules."""
    if Given.__name__ in repr(operation):
        return "its channels are added to an input or a constant of the model"
    name = names.get(operation, "a recurrent or attention module")
    return f"its channels go into {name} or are added to its outputs, and {INSEPARABLE}"


class Whole(torch.autograd.Function):
    """An operation from inputs to outputs whose inside is hidden."""

    @staticmethod
    def forward(_: Any, count: int, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the last `count` tensors as copies, which may be changed in place."""
        return tuple(tensor.clone() for tensor in tensors[-count:])

    @staticmethod
    def backward(_: Any, *__: Any) -> Any:
        """Not used in training."""
        raise NotImplementedError("it only shows what depends on what")


class Given(Whole):
    """An input or a constant of the model."""


def _close_one(value: torch.Tensor) -> torch.Tensor:
    closed: torch.Tensor = Given.apply(1, value.detach().requires_grad_())[0]  # type: ignore[no-untyped-call]
    return closed


def _close_constant(value: object) -> object:
    if isinstance(value, torch.Tensor) and value.is_floating_point() and not value.requires_grad:
        return _close_one(value)
    return value


def _is_inseparable(part: object) -> bool:
    return isinstance(part, torch.nn.RNNBase) or _WORD in type(part).__name__


def _close(_: torch.nn.Module, args: Any, kwargs: Any, outputs: Any) -> Any:
    tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, torch.Tensor)]
    leaves, structure = tree_flatten(outputs)
    places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
    closed = Whole.apply(  # type: ignore[no-untyped-call]
        len(places), *tensors, *(leaves[place].detach() for place in places)
    )
    for place, tensor in zip(places, closed, strict=True):
        leaves[place] = tensor
    return tree_unflatten(leaves, structure)
