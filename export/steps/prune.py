"""Prunes a model: sets single weights to zero, or removes whole channels or heads."""

from dataclasses import replace

import torch
from pydantic import JsonValue

from export.artifacts import Context, Made, Note
from export.pruning.multiply_adds import count_multiply_adds
from export.pruning.structure import Structure
from export.pruning.traced_rows import example_of, output_shapes, require_shapes
from export.pruning.weight_pruning import describe_weights, prune_weights
from export.step import Prune
from export.steps.finetune import recover

_ADVICE = (
    "this architecture cannot lose these channels; select others in `layers`, or exclude these in `keep`"
)
# The attributes with a layer's number of channels or heads.
_WIDTHS = {"channels": ("out_channels", "out_features"), "heads": ("num_attention_heads",)}
# Differences from the requested share of multiply-adds below this are not noted.
_NEAR = 0.02


def prune(made: Made, settings: Prune, context: Context) -> Made:
    """Remove the least important weights, channels or heads of `made` in place, in rounds with recovery in
    between.

    Raises StepFailed if nothing is removed, or the model no longer answers as it must."""
    example = example_of(context.data.calibration)
    shapes = output_shapes(made.module.eval(), example)
    before = _describe_size(made.module, settings, context)
    structure = None if settings.remove in ("weights", "2:4") else Structure(made.module, settings, context)
    notes, recovered = made.notes, list[JsonValue]()
    for number in range(1, settings.rounds + 1):
        progress = number / settings.rounds
        if structure is None:
            made = prune_weights(made, settings, context, progress)
        else:
            made = structure.prune(made, progress)
        require_shapes(made.module, example, shapes, _ADVICE)
        if settings.recover is not None and number < settings.rounds:
            made = recover(made, settings.recover, context)
            recovered.append(made.notes[-1])
    note: Note = {"step": "prune", "remove": settings.remove}
    note |= _compare(before, _describe_size(made.module, settings, context))
    note |= describe_weights(made, settings) if structure is None else _describe_target(settings, note)
    if structure is not None and structure.whole:
        note["left_whole"] = {**structure.whole}
    if recovered:
        note["recovered"] = recovered
    return replace(made, notes=(*notes, note))


def _describe_size(module: torch.nn.Module, settings: Prune, context: Context) -> dict[str, int]:
    """Return the cost of a row, the number of parameters, and the width of each layer."""
    size = {
        "multiply_adds": count_multiply_adds(module, context.data.calibration),
        "parameters": sum(value.numel() for value in module.parameters()),
    }
    for name, part in module.named_modules():
        for attribute in _WIDTHS.get(settings.remove, ()):
            if isinstance(width := getattr(part, attribute, None), int):
                size[f"{name}.{attribute}"] = width
    return size


def _compare(before: dict[str, int], after: dict[str, int]) -> Note:
    """Return before and after of the totals, and of every layer that changed."""
    pairs: Note = {name: [before[name], after[name]] for name in before}
    layers = {name: pair for name, pair in pairs.items() if "." in name and before[name] != after[name]}
    totals = {name: pair for name, pair in pairs.items() if "." not in name}
    return {**totals, **({"layers": layers} if layers else {})}


def _describe_target(settings: Prune, note: Note) -> Note:
    """Return the requested and the remaining share of multiply-adds, if they differ."""
    cost = note["multiply_adds"]
    assert isinstance(cost, list), "_compare made it"
    before, after = (float(str(value)) for value in cost)
    if settings.multiply_adds is None:
        return {}
    target: Note = {"asked_share": settings.multiply_adds, "left_share": after / before}
    if settings.multiply_adds - after / before > _NEAR:
        target["nearest"] = (
            f"{settings.remove} are removed whole: the next larger share is above the requested one"
        )
    return target
