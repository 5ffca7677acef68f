"""Builds the dependency graph of a module."""

import warnings
from typing import Any

import torch
import torch_pruning
from torch.nn.modules.conv import _ConvNd
from torch_pruning.dependency.shape_infer import infer_out_channels_recursively

from export.errors import StepFailed
from export.forward import Tensors, forward
from export.pruning.indivisible import Closing, close_inputs, seen_as_whole

# Layers whose channels can be removed.
LAYERS = (_ConvNd, torch.nn.Linear)


def follow(module: torch.nn.Module, example: Tensors) -> Any:
    """Return torch-pruning's dependency graph for these rows. Raises StepFailed."""
    with seen_as_whole(module), warnings.catch_warnings(), torch.enable_grad():
        # torch-pruning handles parameters outside of torch's layers correctly, but warns about them.
        warnings.filterwarnings("ignore", "Unwrapped parameters detected", UserWarning)
        try:
            return _Graph().build_dependency(
                module, example_inputs=example, forward_fn=lambda _, inputs: _run(module, inputs)
            )
        except Exception as error:  # torch-pruning meets whatever the model does
            raise StepFailed(
                f"{type(module).__name__} cannot be followed from its inputs to its outputs "
                f"({type(error).__name__}: {str(error).partition(chr(10))[0]}); remove `weights` or `heads` "
                "instead, or remove the step"
            ) from error


class _Graph(torch_pruning.DependencyGraph):  # type: ignore[misc]
    """torch-pruning's graph, except for the sizes of the parts of a concatenation: torch-pruning takes them
    from the preceding layers; where there is none, as for the model's inputs, they come from autograd."""

    def _trace(self, *args: Any, **kwargs: Any) -> Any:
        nodes = super()._trace(*args, **kwargs)
        for node in nodes.values():
            if node.type == self.ops.OPTYPE.CONCAT and not all(map(self._is_known, node.inputs)):
                node.module.concat_sizes = _list_sizes(node.grad_fn)
        return nodes

    def _is_known(self, part: Any) -> bool:
        return infer_out_channels_recursively(self, part, [0]) is not None


def _list_sizes(concat: Any) -> list[int]:
    """Return the size of each part in the dimension of the concatenation."""
    # The dimension is unsigned, so one that counts from the end exceeds any rank.
    shape = concat._input_metadata[0].shape
    dim = concat._saved_dim if concat._saved_dim < len(shape) else concat._saved_dim - 2**64
    return [int(part._input_metadata[place].shape[dim]) for part, place in concat.next_functions]


def _run(module: torch.nn.Module, inputs: Tensors) -> tuple[torch.Tensor, ...]:
    with Closing():
        return forward(module, close_inputs(inputs))


def find_heads(graph: Any) -> list[torch.nn.Module]:
    """Return the layers whose channels are the model's outputs."""
    heads: list[torch.nn.Module] = []
    waiting = [node for node in graph.module2node.values() if not node.outputs]
    seen = set(map(id, waiting))
    while waiting:
        node = waiting.pop()
        if isinstance(node.module, LAYERS):
            heads.append(node.module)
            continue
        inner = [parent for parent in node.inputs if id(parent) not in seen]
        seen.update(map(id, inner))
        waiting.extend(inner)
    return heads
