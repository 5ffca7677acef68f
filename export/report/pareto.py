"""Relates quality and latency of variants, and describes the result in words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from serve.bundles.bundle import Bundle
from serve.bundles.figures import Compared, Estimate, Quality, SpeedPoint
from serve.tasks.task_table import FIGURES, TASKS


@dataclass(frozen=True, kw_only=True)
class ParetoPoint:
    """One point of quality over latency."""

    variant: str
    rejected: bool
    # What the quality measures, and what the latency belongs to.
    measure: str
    place: str
    quality: float
    low: float
    high: float
    latency_ms: float


def to_point(bundle: Bundle) -> ParetoPoint:
    """Return the variant's point: its main quality metric with the interval, and the latency of one row."""
    quality = bundle.figures.quality
    name, figure = find_main(quality)
    low, high = figure.low, figure.high
    if isinstance(figure, Compared):
        # The figure has a largest and a least value, even if the interval goes beyond.
        least, before = FIGURES[name].least, figure.value - figure.change
        low, high = (min(1.0, max(least, before + end)) for end in (low, high))
    point = single(bundle)
    return ParetoPoint(
        variant=bundle.variant,
        rejected=bundle.rejected is not None,
        measure=f"{FIGURES[name].heading}{' to the baseline' if name == 'cosine' else ''} on held-out rows",
        place=f"one row of {point.tokens} tokens" if point.tokens else "one row",
        quality=figure.value,
        low=low,
        high=high,
        latency_ms=point.wall_p50_ms,
    )


def find_main(quality: Quality) -> tuple[str, Compared | Estimate]:
    """Return the name and the value of the main figure of the task: the first one that was measured, of which
    more is better."""
    traits = TASKS[quality.task]
    for name in (*traits.by_labels, *traits.by_answers):
        figure: Compared | Estimate | None = getattr(quality, name)
        if figure is not None and FIGURES[name].limit in ("drop", "least"):
            return name, figure
    raise AssertionError("every task has one of them")


def single(bundle: Bundle) -> SpeedPoint:
    """Return the point of one row; for text, of the middle length."""
    points = at(bundle, 1)
    return points[len(points) // 2]


def at(bundle: Bundle, rows: int) -> list[SpeedPoint]:
    """Return the points of one batch size: one per length of text, or a single one."""
    return [point for point in bundle.figures.speed.points if point.rows == rows]


def front(standings: Iterable[ParetoPoint]) -> list[ParetoPoint]:
    """Return the accepted variants that no other one of them beats in both, the fastest first."""
    best: list[ParetoPoint] = []
    accepted = (item for item in standings if not item.rejected)
    for item in sorted(accepted, key=lambda item: (item.latency_ms, -item.quality)):
        if not best or item.quality > best[-1].quality:
            best.append(item)
    return best


def describe(bundle: Bundle, baseline: Bundle) -> str:
    """Describe in one sentence what the variant gains and loses compared with its baseline."""
    if bundle.variant == baseline.variant:
        return f"The baseline of the comparison. {_latency(bundle)}."
    knee = bundle.figures.speed.knee_rows
    size = bundle.figures.model_size_bytes / baseline.figures.model_size_bytes
    return (
        f"{_faster(at(bundle, 1))} in one row, {_faster(at(bundle, knee))} in {knee}; "
        f"{size:.0%} of the size; {_quality(bundle)}."
    )


def _latency(bundle: Bundle) -> str:
    standing = to_point(bundle)
    return f"{standing.place.capitalize()} takes {standing.latency_ms:.3g} ms"


def _faster(points: Sequence[SpeedPoint]) -> str:
    low, high = min(points, key=_value), max(points, key=_value)
    if len(points) == 1:
        speedup = low.speedup
        return f"{speedup.value:.2f}x the speed [{speedup.low:.2f}, {speedup.high:.2f}]"
    return f"{_value(low):.2f}x to {_value(high):.2f}x the speed"


def _value(point: SpeedPoint) -> float:
    return point.speedup.value


def _quality(bundle: Bundle) -> str:
    key, figure = find_main(bundle.figures.quality)
    name = FIGURES[key].heading
    if isinstance(figure, Compared):
        return f"{name} {figure.value:.4f}, {figure.change:+.4f} [{figure.low:+.4f}, {figure.high:+.4f}]"
    return f"{name} {figure.value:.4f} [{figure.low:.4f}, {figure.high:.4f}]"
