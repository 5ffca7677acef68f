"""Sets single weights to zero; layers keep their shape and their cost."""

import math
from dataclasses import replace

import torch
from pydantic import JsonValue
from torch.nn.modules.conv import _ConvNd

from export.artifacts import Context, Made, Note
from export.errors import StepFailed
from export.onnx.patterns import match
from export.pruning.importance import Worth, weigh
from export.step import Prune

# Layers with multiplications. Embeddings are looked up and norms are small, so zeros in them save nothing.
_WEIGHTED = (_ConvNd, torch.nn.Linear, torch.nn.RNNBase, torch.nn.MultiheadAttention)
Masks = dict[str, torch.Tensor]


def prune_weights(made: Made, settings: Prune, context: Context, progress: float) -> Made:
    """Set weights to zero in place, with `progress` (0 to 1) of the total, and return `made`.

    Candidates are weights with two or more dimensions of convolutions, linear, recurrent and
    torch.nn.MultiheadAttention layers. A threshold applies to |w|, or to |w * gradient| with taylor. Raises
    StepFailed if nothing is removed, or all weights of a layer."""
    parameters = dict(made.module.named_parameters())
    candidates = _find_weights(made.module, settings)
    worth = weigh(made.module, "l1" if settings.importance == "l2" else settings.importance, context)
    chosen = {name: worth[name] for name in candidates}
    pruned = (
        _choose_2_of_4(chosen, progress) if settings.remove == "2:4" else _choose(chosen, settings, progress)
    )
    before = {name: int((parameters[name] == 0).sum()) for name in candidates}
    with torch.no_grad():
        for name, mask in pruned.items():
            parameters[name][mask] = 0
    zeros = {name: int((parameters[name] == 0).sum()) for name in candidates}
    _require_change(settings, before, zeros, {name: parameters[name].numel() for name in candidates})
    return replace(made, pruned=made.pruned | set(pruned))


def describe_weights(made: Made, settings: Prune) -> Note:
    """Return zeros and weights of every candidate layer, and the share of zeros over all of them."""
    parameters = dict(made.module.named_parameters())
    candidates = _find_weights(made.module, settings)
    zeros = {name: int((parameters[name] == 0).sum()) for name in candidates}
    layers: dict[str, JsonValue] = {
        name: {"zeros": zeros[name], "weights": parameters[name].numel()} for name in candidates
    }
    note: Note = {"layers": layers, "zeros": sum(zeros.values()) / sum(parameters[n].numel() for n in zeros)}
    if settings.remove == "2:4":
        note["left_out"] = [name for name in candidates if not _fits_4(parameters[name])]
    return note


def _find_weights(module: torch.nn.Module, settings: Prune) -> list[str]:
    """Return the names of the weights that may be removed."""
    layers = {name: part for name, part in module.named_modules() if isinstance(part, _WEIGHTED)}
    if not layers:
        raise StepFailed(
            f"{type(module).__name__} has no convolution, linear or recurrent layer; remove the step"
        )
    kept = match(settings.keep, layers, "layers with weights")
    chosen = match(settings.layers, layers, "layers with weights")
    # A weight that layers share has one name, and is kept if any of its names is kept.
    known = {id(value): name for name, value in module.named_parameters()}
    stay = {id(value) for layer in kept for value in layers[layer].parameters(recurse=False)}
    weights = {
        known[id(value)]: value
        for layer in chosen
        for value in layers[layer].parameters(recurse=False)
        if value.ndim >= 2 and id(value) not in stay
    }
    if not weights:
        raise StepFailed(f"`keep` {list(settings.keep)} leaves no layer to prune; keep fewer")
    return [*weights]


def _choose(worth: Worth, settings: Prune, progress: float) -> Masks:
    if settings.threshold is not None:
        return {name: value < settings.threshold * progress for name, value in worth.items()}
    assert settings.ratio is not None, "weights go by ratio or by threshold"
    ratio = settings.ratio * progress
    if settings.scope == "layer":
        return {name: _weakest(value.flatten(), ratio).view_as(value) for name, value in worth.items()}
    together = _weakest(torch.cat([value.flatten() for value in worth.values()]), ratio)
    parts = torch.split(together, [value.numel() for value in worth.values()])
    return {name: part.view_as(worth[name]) for name, part in zip(worth, parts, strict=True)}


def _weakest(worth: torch.Tensor, ratio: float) -> torch.Tensor:
    """Return a mask of exactly that share of a flat tensor; of equal ones, the first."""
    mask = torch.zeros(len(worth), dtype=torch.bool)
    mask[torch.argsort(worth, stable=True)[: round(len(worth) * ratio)]] = True
    return mask


def _choose_2_of_4(worth: Worth, progress: float) -> Masks:
    """Return the weakest 2 of every 4 consecutive inputs of an output; halfway, the weakest one."""
    fitting = {name: value for name, value in worth.items() if _fits_4(value)}
    if not fitting:
        sizes = ", ".join(f"{name} has {value[0].numel()}" for name, value in worth.items())
        raise StepFailed(
            f"2:4 needs layers whose inputs per output divide by 4, and {sizes}; prune `weights` by ratio "
            "instead"
        )
    masks = {}
    for name, value in fitting.items():
        order = torch.argsort(value.reshape(-1, 4), dim=1, stable=True)
        mask = torch.zeros(order.shape, dtype=torch.bool)
        masks[name] = mask.scatter(1, order[:, : math.ceil(2 * progress)], True).view_as(value)
    return masks


def _fits_4(weight: torch.Tensor) -> bool:
    return weight[0].numel() % 4 == 0


def _require_change(
    settings: Prune, before: dict[str, int], zeros: dict[str, int], sizes: dict[str, int]
) -> None:
    target = f"threshold {settings.threshold}" if settings.threshold else f"ratio {settings.ratio}"
    target = "2:4" if settings.remove == "2:4" else target
    if empty := [name for name in zeros if zeros[name] == sizes[name]]:
        raise StepFailed(f"{target} leaves no weight of {', '.join(empty)}; lower it, or `keep` these layers")
    if zeros == before:
        raise StepFailed(
            f"{target} removed none of {sum(sizes.values())} weights, {sum(before.values())} of which were "
            "zero before; raise it, or remove the step"
        )
