"""Measures how far figures of quality are beyond a floor's limits, as a number that a sampler can learn from.
Pure."""

from collections.abc import Callable

from export.quality_limits import Floor
from serve.bundles.figures import Compared, Estimate, MetricFigure, Quality
from serve.tasks.task_table import FIGURES

_ROUNDING = 1e-9


def measure_violation(floor: Floor, quality: Quality, *, worse: bool) -> float:
    """Return the largest excess over a limit, each by the worse end of its interval or by the better one.

    The unit is that of the limit, a share for most. Up to 0, all limits are kept; so is one without a
    figure."""
    excesses = [
        excess
        for name, figure in FIGURES.items()
        if figure.limit is not None
        and (limit := getattr(floor, figure.limit_of(name) or name)) is not None
        and (excess := _EXCESS[figure.limit](getattr(quality, name), limit, worse)) is not None
    ]
    excess = max(excesses, default=0.0)
    return 0.0 if abs(excess) <= _ROUNDING else excess


def _drop(figure: Compared | None, allowed: float, worse: bool) -> float | None:
    if figure is None:
        return None
    if isinstance(figure, MetricFigure) and figure.better == "lower":
        return (figure.high if worse else figure.low) - allowed
    return -(figure.low if worse else figure.high) - allowed


def _rise(figure: Compared | None, allowed: float, worse: bool) -> float | None:
    if figure is None:
        return None
    before = figure.value - figure.change
    rise = figure.high if worse else figure.low
    return (rise / before if before > 0 else rise) - allowed


def _least(figure: Estimate | None, least: float, worse: bool) -> float | None:
    return None if figure is None else least - (figure.low if worse else figure.high)


def _most(figure: Estimate | None, most: float, worse: bool) -> float | None:
    return None if figure is None else (figure.high if worse else figure.low) - most


_EXCESS: dict[str, Callable[..., float | None]] = {
    "drop": _drop,
    "rise": _rise,
    "least": _least,
    "most": _most,
}
