"""Follow: what depends on what in a module, from its inputs to its outputs."""

import warnings
from typing import Any

import torch
import torch_pruning
from torch.nn.modules.conv import _ConvNd

from export.errors import StepFailed
from export.forward import Tensors, forward
from export.pruning.whole import close_inputs, kept_whole

# Whose channels can leave.
LAYERS = (_ConvNd, torch.nn.Linear)


def follow(module: torch.nn.Module, example: Tensors) -> Any:
    """What depends on what in the module, as torch-pruning sees it on these rows. Raises StepFailed."""
    with kept_whole(module), warnings.catch_warnings(), torch.enable_grad():
        # Parameters outside of torch's own layers: it says what it will do with them, and that is right.
        warnings.filterwarnings("ignore", "Unwrapped parameters detected", UserWarning)
        try:
            return torch_pruning.DependencyGraph().build_dependency(
                module,
                example_inputs=example,
                forward_fn=lambda _, inputs: forward(module, close_inputs(inputs)),
            )
        except Exception as error:  # torch-pruning meets whatever the model does
            raise StepFailed(
                f"{type(module).__name__} cannot be followed from its inputs to its outputs "
                f"({type(error).__name__}: {str(error).partition(chr(10))[0]}); remove `weights` or `heads` "
                "instead, or drop the step"
            ) from error


def find_heads(graph: Any) -> list[torch.nn.Module]:
    """The layers whose channels are the model's own outputs."""
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
