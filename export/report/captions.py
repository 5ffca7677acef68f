"""Writes the captions of a report's charts from the measured figures. Pure functions."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

from export.proof.curve import find_knee
from export.report.pareto import ParetoPoint, front
from serve.bundles.bundle import Bundle
from serve.bundles.figures import SpeedPoint


def describe_front(standings: Sequence[ParetoPoint]) -> str:
    """Caption of the chart of quality over latency."""
    words = ["Quality over latency; up and to the left is better."]
    best = front(standings)
    if len(best) > 1:
        words.append("No accepted variant is better in both than those in bold, along the dashed line.")
    elif len(standings) > 1:
        words.append("The variant in bold is the best accepted one in both.")
    if any(item.low < item.quality or item.high > item.quality for item in standings):
        words.append("Bars are intervals of the difference from the baseline.")
    if any(item.rejected for item in standings):
        words.append("A hollow grey ring is a rejected variant.")
    return " ".join(words)


def describe_curves(bundles: Mapping[str, Bundle]) -> str:
    """Caption of the chart of costs over batch sizes."""
    words = ["CPU time per row over the number of rows in a batch."]
    together = {name: bundle for name, bundle in bundles.items() if bundle.rows == "together"}
    if together:
        words.append(
            "A ring marks a variant's knee, the smallest batch in which a row costs at most a tenth more "
            "than in its cheapest batch."
        )
    if alone := [name for name in bundles if name not in together]:
        words.append(f"{_join(alone)} {_verb(alone, 'runs', 'run')} each row alone, so there is no knee.")
    if single := _find(bundles, lambda points: points[-1].rows == 1):
        words.append(
            f"{_join(single)}: only one row was measured, because larger batches would take too long."
        )
    if falling := _find(together, lambda points: 1 < points[-1].rows == find_knee(points)):
        words.append(
            f"{_join(falling)} still {_verb(falling, 'gets', 'get')} cheaper by more than a tenth at the "
            "largest batch measured, so the knee may lie beyond."
        )
    if dearer := _find(together, _is_dearer):
        words.append(f"In the largest batch, a row of {_join(dearer)} costs more again.")
    return " ".join(words)


def _find(bundles: Mapping[str, Bundle], holds: Callable[[list[SpeedPoint]], bool]) -> list[str]:
    """Return the variants for which the condition holds at some length of text; the points of each are in
    order of rows."""
    return [name for name, bundle in bundles.items() if any(map(holds, _curves(bundle.figures.speed.points)))]


def _curves(points: Iterable[SpeedPoint]) -> list[list[SpeedPoint]]:
    ordered = sorted(points, key=lambda point: (point.tokens or 0, point.rows))
    return [list(curve) for _, curve in groupby(ordered, key=lambda point: point.tokens)]


def _is_dearer(points: Sequence[SpeedPoint]) -> bool:
    costs = [point.cpu_p50_ms / point.rows for point in points]
    return costs[-1] > 1.1 * min(costs)


def _verb(names: Sequence[str], one: str, several: str) -> str:
    return one if len(names) == 1 else several


def _join(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
