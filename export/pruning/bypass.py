"""Checks that a shortened stack answers like the full model whose removed layers do nothing."""

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch.utils._pytree import tree_flatten

from export.pruning.reference import Answers, Reference
from export.pruning.stack import find_stack


def find_bypass_fault(
    reference: Reference, left: torch.nn.Module, stack: str, kept: Collection[int]
) -> str | None:
    """Return why the shortened model does not answer as if the removed layers of `stack` did nothing; None if
    it does.

    Doing nothing means passing on the input, or returning 0 if the result is added to the input."""
    actual = reference.answer_of(left)
    faults = [
        reference.find_difference(actual, expected)
        for replace in (_pass_on, _give_zero)
        if (expected := _answer_without(reference, stack, kept, replace)) is not None
    ]
    return None if None in faults else next(iter(faults), "these do not give what they read")


def _answer_without(
    reference: Reference, stack: str, kept: Collection[int], replace: Callable[..., Any]
) -> Answers | None:
    """Return the answer of the full model without these layers; None if it does not run."""
    layers = [
        layer for index, layer in enumerate(find_stack(reference.module, stack)[1]) if index not in kept
    ]
    hooks = [layer.register_forward_hook(replace, with_kwargs=True) for layer in layers]
    try:
        return reference.answer()
    except Exception:  # whatever the model's own code runs into
        return None
    finally:
        for hook in hooks:
            hook.remove()


def _pass_on(_: torch.nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
    """Return the first input as the first output."""
    read = next(leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, torch.Tensor))
    return (read, *output[1:]) if isinstance(output, tuple) else read


def _give_zero(_: torch.nn.Module, __: Any, ___: Any, output: Any) -> Any:
    if isinstance(output, tuple):
        return (torch.zeros_like(output[0]), *output[1:])
    return torch.zeros_like(output)
