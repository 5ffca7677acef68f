"""Captions: what a report's pictures show, said of these very figures. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

from export.proof.curve import find_knee
from export.report.pareto import Standing, front
from serve.bundles.bundle import Bundle
from serve.bundles.figures import SpeedPoint


def describe_front(standings: Sequence[Standing]) -> str:
    """What stands below the picture of quality against latency."""
    words = ["Quality against latency. Up and to the left is better."]
    best = front(standings)
    if len(best) > 1:
        words.append("No variant beats those in bold, along the dashed line, in both.")
    elif len(standings) > 1:
        words.append("No variant beats the one in bold in either.")
    if any(item.low < item.quality or item.high > item.quality for item in standings):
        words.append("Bars are intervals, beside the baseline.")
    if any(item.rejected for item in standings):
        words.append("A hollow ring was rejected.")
    return " ".join(words)


def describe_curves(bundles: Mapping[str, Bundle]) -> str:
    """What stands below the picture of costs and batch sizes."""
    words = ["What a row costs in a batch of so many."]
    together = {name: bundle for name, bundle in bundles.items() if bundle.rows == "together"}
    if together:
        words.append(
            "A ring marks a variant's knee, the smallest batch in which a row costs at most a tenth more "
            "than in its cheapest."
        )
    if alone := [name for name in bundles if name not in together]:
        words.append(f"{_join(alone)} {_verb(alone, 'runs', 'run')} each row alone, so there is no knee.")
    if single := _find(bundles, lambda points: points[-1].rows == 1):
        words.append(f"Of {_join(single)} only one row was measured, as larger batches would take too long.")
    if falling := _find(together, lambda points: 1 < points[-1].rows == find_knee(points)):
        words.append(
            f"{_join(falling)} still {_verb(falling, 'gets', 'get')} cheaper by more than a tenth at the "
            "largest batch measured, so the knee may lie beyond."
        )
    if dearer := _find(together, _is_dearer):
        words.append(f"In the largest batch a row of {_join(dearer)} is dearer again.")
    return " ".join(words)


def _find(bundles: Mapping[str, Bundle], holds: Callable[[list[SpeedPoint]], bool]) -> list[str]:
    """The variants of which it holds at some length of text; the points of each are in order of rows."""
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
