"""Keeps only some layers of a stack of equal layers."""

from dataclasses import replace

import torch
from pydantic import JsonValue

from export.artifacts import Context, Made, Note
from export.errors import StepFailed
from export.pruning.bypass import find_bypass_fault
from export.pruning.duplicate import duplicate
from export.pruning.multiply_adds import count_multiply_adds
from export.pruning.reference import Reference
from export.pruning.stack import find_stack, keep_layers
from export.pruning.traced_rows import example_of, output_shapes, require_shapes
from export.step import DropLayers
from export.training.answers import module_answers
from export.training.scores import distance, read_baseline
from export.training.teacher import teacher_answers

# Number of rows on which the result is proven.
_ROWS = 4
_ADVICE = "its layers do not fit together; name another `stack`, or remove the step"


def drop_layers(made: Made, settings: DropLayers, context: Context) -> Made:
    """Return `made` with `settings.keep` layers of its stack, changed in place. Raises StepFailed if there is
    no such stack, nothing to drop, or the remaining layers do not fit together."""
    module = made.module.eval()
    name, stack = find_stack(module, settings.stack)
    layers = len(stack)
    if settings.keep >= layers:
        raise StepFailed(
            f"keep {settings.keep} of the {layers} layers of {name!r} drops none; keep at most {layers - 1}"
        )
    example = example_of(context.data.calibration)
    shapes = output_shapes(module, example)
    cost = count_multiply_adds(module, context.data.calibration)
    note: Note = {"step": "drop_layers", "stack": name, "layers": layers}
    if settings.choose == "importance":
        kept, note["changes"] = _keep_important(module, name, settings.keep, context)
    else:
        kept = (
            _spread_evenly(layers, settings.keep) if settings.choose == "even" else list(range(settings.keep))
        )
    numbers: list[JsonValue] = [*kept]
    pruned = {id(value) for path, value in module.named_parameters() if path in made.pruned}
    reference = Reference(module, example_of(context.data.calibration, _ROWS))
    keep_layers(module, name, kept)
    require_shapes(module, example, shapes, _ADVICE)
    _require_bypass(reference, module, name, kept)
    note |= {"kept": numbers, "multiply_adds": [cost, count_multiply_adds(module, context.data.calibration)]}
    return replace(
        made,
        surgery=(*made.surgery, {"kind": "drop_layers", "stack": name, "kept": numbers}),
        # Layers after a dropped one have new numbers.
        pruned=frozenset(path for path, value in module.named_parameters() if id(value) in pruned),
        notes=(*made.notes, note),
    )


def _require_bypass(reference: Reference, module: torch.nn.Module, name: str, kept: list[int]) -> None:
    if fault := find_bypass_fault(reference, duplicate(module), name, kept):
        raise StepFailed(
            f"with only the layers {', '.join(map(str, kept))} of {name!r} the model does not answer as if "
            f"the others did nothing: {fault}; {_ADVICE}"
        )


def _spread_evenly(layers: int, keep: int) -> list[int]:
    """Return the first, the last, and evenly spaced others; only the first if one is kept."""
    return [round(place * (layers - 1) / max(keep - 1, 1)) for place in range(keep)]


def _keep_important(
    module: torch.nn.Module, name: str, keep: int, context: Context
) -> tuple[list[int], JsonValue]:
    """Drop, one at a time, the layer without which the answers to the calibration split change least. Returns
    the remaining layers and each layer's change per turn."""
    kept = list(range(len(find_stack(module, name)[1])))
    turns: list[JsonValue] = []
    while len(kept) > keep:
        changes = {layer: _measure(module, name, [k for k in kept if k != layer], context) for layer in kept}
        least = min(changes, key=lambda layer: changes[layer])
        turns.append({"dropped": least, "change": {str(layer): value for layer, value in changes.items()}})
        kept.remove(least)
    return kept, turns


def _measure(module: torch.nn.Module, name: str, kept: list[int], context: Context) -> float:
    """Return the mean distance of the answers with these layers from the baseline's, over rows or tokens:
    KL(baseline || model) in nats, 1 - cosine of embeddings, or the squared difference of numbers over their
    variance."""
    trial = duplicate(module)
    keep_layers(trial, name, kept)
    split = context.data.calibration
    example = example_of(split)
    require_shapes(trial, example, output_shapes(module, example), _ADVICE)
    expected, actual = teacher_answers(context, split), module_answers(trial, split)
    return distance(context.task, read_baseline(context, expected, split), expected, actual, split)
