"""Places names beside the points of a chart so that they cover neither points nor other names."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import cos, radians, sin

from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

# Possible distances of a name from its point, in points of print, the nearest first; from the third on, a
# line connects them.
_DISTANCES = (9, 16, 30, 46, 62, 80, 100, 125, 150)
_LED_FROM = 30
# The first direction is up and to the right.
_ANGLES = (35, -35, 145, -145, 90, -90, 0, 180, 65, -65, 115, -115)
# A browser uses another font than the one that is measured here.
_PADDING = 1.5
_MARKER = 6.0


@dataclass(frozen=True, kw_only=True)
class Callout:
    """A point, the [low, high] of its bar, and its name."""

    x: float
    y: float
    low: float
    high: float
    name: str
    bold: bool


def call_out(axes: Axes, callouts: Sequence[Callout]) -> None:
    """Write the names. The limits of the axes must be final."""
    figure = axes.get_figure(root=True)
    assert figure is not None, "axes stand in a figure"
    figure.draw_without_rendering()
    inside = axes.get_window_extent()
    occupied = [box for callout in callouts for box in _shape(axes, callout)]
    for callout in callouts:
        label = axes.annotate(
            callout.name,
            (callout.x, callout.y),
            xytext=(0, 0),
            textcoords="offset points",
            fontweight="bold" if callout.bold else "normal",
        )
        label.set_in_layout(False)
        best = min(_places(), key=lambda place: _cost(_put(label, place), occupied, inside))
        occupied.append(_put(label, best))
        if _length(best) >= _LED_FROM:
            axes.annotate(
                "",
                (callout.x, callout.y),
                xytext=best,
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "alpha": 0.4, "shrinkA": 0, "shrinkB": _MARKER},
            )


def _places() -> Iterator[tuple[float, float]]:
    for distance in _DISTANCES:
        for angle in _ANGLES:
            yield distance * cos(radians(angle)), distance * sin(radians(angle))


def _length(place: tuple[float, float]) -> float:
    return float((place[0] ** 2 + place[1] ** 2) ** 0.5) + 1e-6


def _put(label: Annotation, place: tuple[float, float]) -> Bbox:
    """Move the name to the place; return the area that it covers, in pixels."""
    right, up = place
    label.xyann = place
    label.set_horizontalalignment("center" if abs(right) < 1 else "left" if right > 0 else "right")
    label.set_verticalalignment("center" if abs(up) < 1 else "bottom" if up > 0 else "top")
    return label.get_window_extent().padded(_PADDING)


def _cost(box: Bbox, occupied: Sequence[Bbox], inside: Bbox) -> float:
    """Return the number of square pixels that are covered twice or outside; 0 is a good place."""
    within = Bbox.intersection(box, inside)
    outside = _area(box) - (_area(within) if within is not None else 0)
    covered = sum(_area(both) for other in occupied if (both := Bbox.intersection(box, other)) is not None)
    return round(outside + covered, 3)


def _area(box: Bbox) -> float:
    return float(box.width * box.height)


def _shape(axes: Axes, callout: Callout) -> list[Bbox]:
    """Return the outline of the marker and the bar, in pixels."""
    figure = axes.get_figure(root=True)
    assert figure is not None, "axes stand in a figure"
    pixels = _MARKER * figure.dpi / 72
    (x, y), (_, low), (_, high) = axes.transData.transform(
        [(callout.x, at) for at in (callout.y, callout.low, callout.high)]
    )
    bar = Bbox([[x - pixels / 2, low], [x + pixels / 2, high]])
    return [Bbox([[x - pixels, y - pixels], [x + pixels, y + pixels]]), bar]
