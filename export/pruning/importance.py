"""Computes the importance of single weights, from their size or from gradients."""

from typing import Literal

import numpy as np
import torch
from torch.nn.functional import normalize

from export.artifacts import Context
from export.data.datasets import Split
from export.data.labels import IGNORE
from export.errors import StepFailed
from export.forward import forward, to_tensors
from export.training.batches import Rows
from export.training.losses import classes_loss, labels_loss
from export.training.scores import label_rule
from export.training.teacher import teacher_answers

Importance = Literal["l1", "l2", "taylor"]
# Parameter name -> an importance from 0 for each element; a shared parameter is under all its names.
Worth = dict[str, torch.Tensor]

# Enough for a stable order of channels; costs as much as this number of training steps.
_BATCHES = 8
_BATCH_ROWS = 32


def weigh(module: torch.nn.Module, importance: Importance, context: Context) -> Worth:
    """Return the importance of every weight, in float32.

    l1 is |w|. l2 is w^2, which gives the same order as l1 for single weights and another one for sums over
    channels. taylor is |w * gradient|, the first-order change of the loss when the weight is removed
    (Molchanov et al., 2019), summed over a few batches of the train split.

    Args:
        module: the torch module
        importance: "l1", "l2" or "taylor"
        context: the data and the seed of the step

    Returns:
        For each parameter, by name, a tensor of its shape. Raises InvalidData without a train split, or
        StepFailed.
    """
    match importance:
        case "l1":
            return {name: value.detach().float().abs() for name, value in _list_parameters(module)}
        case "l2":
            return {name: value.detach().float().square() for name, value in _list_parameters(module)}
        case "taylor":
            return _weigh_by_gradient(module, context)


def _list_parameters(module: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    return list(module.named_parameters(remove_duplicate=False))


def _weigh_by_gradient(module: torch.nn.Module, context: Context) -> Worth:
    train = context.data.require_train("importance by taylor")
    module.eval()
    parameters = dict(_list_parameters(module))
    frozen = [value for value in parameters.values() if not value.requires_grad]
    for value in frozen:
        value.requires_grad_(True)
    worth = {name: torch.zeros_like(value, dtype=torch.float32) for name, value in parameters.items()}
    for rows in _draw_batches(train, context.seed):
        loss = _loss(module, train, rows, context)
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for (name, value), gradient in zip(parameters.items(), gradients, strict=True):
            if gradient is not None:
                worth[name] += (value.detach().float() * gradient.float()).abs()
    for value in frozen:
        value.requires_grad_(False)
    if not all(bool(torch.isfinite(value).all()) for value in worth.values()):
        raise StepFailed("gradients of the model are NaN or infinite; choose importance l1 or l2")
    return worth


def _draw_batches(train: Split, seed: int) -> list[Rows]:
    order = np.random.default_rng(seed).permutation(len(train))[: _BATCHES * _BATCH_ROWS]
    return np.array_split(order, -(-len(order) // _BATCH_ROWS))


def _loss(module: torch.nn.Module, train: Split, rows: Rows, context: Context) -> torch.Tensor:
    """Return the loss on the labels. Without labels, the distance to the baseline's answers would not work,
    because it and its gradient are 0 at the baseline. So the labels are the baseline's top classes, and
    embeddings are moved in random directions, which shows how much they depend on a weight."""
    output = forward(module, to_tensors(train.take(rows)))[0]
    if context.kind == "vectors":
        generator = torch.Generator().manual_seed(context.seed)
        return (normalize(output, dim=-1) * torch.randn(output.shape, generator=generator)).sum()
    if train.labels is not None and context.kind == "numbers":
        return labels_loss(label_rule(context), output, torch.from_numpy(train.labels[rows]))
    if output.ndim == 1 or output.shape[-1] == 1 or context.kind in ("numbers", None):
        # Plain numbers have no top class; they are treated like embeddings.
        generator = torch.Generator().manual_seed(context.seed)
        return (output * torch.randn(output.shape, generator=generator)).sum()
    if train.labels is not None:
        return classes_loss(output, torch.from_numpy(train.labels[rows]))
    top = teacher_answers(context, train)[rows].argmax(-1)
    if top.ndim == 2 and train.lengths is not None:
        top[np.arange(top.shape[1]) >= train.lengths[rows][:, None]] = IGNORE
    return classes_loss(output, torch.from_numpy(top))
