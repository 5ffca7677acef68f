"""Keeps layers in float whose quantized answers differ by more than rounding explains."""

from collections.abc import Collection, Sequence
from itertools import count

from export.data.datasets import Split
from export.errors import StepFailed
from export.progress import Say
from export.quantization.layers import Layer
from export.quantization.operator_trial import Miss, TrialPlan, find_misses

# A layer that becomes float changes what its neighbours read and write, so that they may be wrong next. After
# these trials, neighbours of a wrong layer stay in float, too: twice as many in each further trial, so that
# few are left.
_EXACT_TRIALS = 3


def find_untrue(plan: TrialPlan, layers: Sequence[Layer], split: Split, say: Say) -> dict[str, str]:
    """Return the nodes that must stay in float, with the reasons: no range holds their input or output, or
    their quantized answers are wrong, or they stand beside such a node.

    The remaining layers answer like the float model on calibration rows. `say` receives the progress. Raises
    StepFailed if no layer remains, or if a wrong answer comes from float nodes."""
    untrue = dict(plan.endless)
    proven: set[str] = set()
    for trial in count(1):
        true = [layer for layer in layers if layer.node not in untrue]
        if not true:
            name, reason = next(iter(untrue.items()))
            raise StepFailed(
                f"no layer answers in integers as it does in floats: {name!r} {reason}; use another method"
            )
        misses = find_misses(plan, plan.make(true, untrue), true, split, proven)
        if not misses:
            break
        integers = {*(layer.node for layer in layers), *plan.others} - untrue.keys()
        names = [layer.node for layer in true]
        for miss in misses:
            blamed = _blame(miss, set(names), integers)
            untrue |= dict.fromkeys(blamed, miss.reason)
            if trial > _EXACT_TRIALS:
                beside = _find_neighbours(names, blamed, 2 ** (trial - _EXACT_TRIALS))
                untrue |= dict.fromkeys(beside, f"stands beside {blamed[0]!r}, which {miss.reason}")
        say(f"trial {trial}: {len(untrue)} operators stay in float")
    return untrue


def _find_neighbours(names: Sequence[str], of: Collection[str], reach: int) -> list[str]:
    """Return the layers that are at most `reach` places before or after these."""
    places = [place for place, name in enumerate(names) if name in of]
    return [
        name
        for place, name in enumerate(names)
        if name not in of and any(abs(place - other) <= reach for other in places)
    ]


def _blame(miss: Miss, layers: set[str], integers: set[str]) -> list[str]:
    """Return the nodes to blame: those with weights, else those that compute with integers, else those that
    made their inputs."""
    for nodes in (miss.nodes & layers, miss.nodes & integers, miss.before & integers):
        if nodes:
            return sorted(nodes)
    raise StepFailed(
        f"{', '.join(sorted(miss.nodes)) or 'a node'} {miss.reason}, and no more layers before it can be "
        "kept in float; use another method, or remove the step"
    )
