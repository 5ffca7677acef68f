"""Prune: remove whole channels, with everything that depends on them."""

import torch
import torch_pruning

from export.errors import StepFailed
from export.forward import Tensors, bind, forward
from export.recipe import Prune


def prune(model: torch.nn.Module, settings: Prune, example: Tensors) -> torch.nn.Module:
    """`model` without the weakest `settings.channels` of each layer's channels, changed in place.

    `example` is a batch of real rows that shows how the layers depend on each other. Raises StepFailed."""
    before = _count(model)
    shapes = _output_shapes(model, example)
    args, kwargs = bind(model, example)
    pruner = torch_pruning.pruner.BasePruner(
        model.eval(),
        kwargs or args,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=settings.channels,
        ignored_layers=_heads(model, example),
    )
    pruner.step()
    if _count(model) == before:
        raise StepFailed(
            f"pruning {settings.channels:.0%} of the channels removed none of {before} parameters: "
            "the model has no inner convolution or linear layer, or none with enough channels to lose that "
            "share and keep one; lower the share or drop the step"
        )
    if _output_shapes(model, example) != shapes:
        raise StepFailed(
            f"pruning changed the outputs from {shapes} to {_output_shapes(model, example)}; "
            "such an architecture cannot be pruned here; drop the step"
        )
    return model


def _heads(model: torch.nn.Module, example: Tensors) -> list[torch.nn.Module]:
    """The layers whose channels are the model's own outputs."""
    args, kwargs = bind(model, example)
    graph = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=kwargs or args)
    layers = (torch.nn.modules.conv._ConvNd, torch.nn.Linear)
    heads: list[torch.nn.Module] = []
    waiting = [node for node in graph.module2node.values() if not node.outputs]
    seen = set(map(id, waiting))
    while waiting:
        node = waiting.pop()
        if isinstance(node.module, layers):
            heads.append(node.module)
            continue
        inner = [parent for parent in node.inputs if id(parent) not in seen]
        seen.update(map(id, inner))
        waiting.extend(inner)
    return heads


def _output_shapes(model: torch.nn.Module, example: Tensors) -> list[list[int]]:
    with torch.no_grad():
        return [list(output.shape) for output in forward(model, example)]


def _count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
