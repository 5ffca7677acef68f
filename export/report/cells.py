"""Formats figures of quality as table cells with small print."""

from collections.abc import Sequence

from export.data.labels import name_class
from serve.bundles.figures import Compared, Estimate, OutputFigures, Quality
from serve.tasks.task_table import FIGURES, QualityFigure

# The text of a cell, and its small print.
Cell = tuple[str, str]


def show_quality(quality: Quality, name: str, classes: Sequence[str]) -> Cell:
    """Show a figure of the first output, and the worst class by its name in `classes`."""
    value, small = _figure(getattr(quality, name), FIGURES[name])
    if name != "worst_class" or quality.worst_label is None:
        return value, small
    return value, f"{name_class(quality.worst_label, classes)}\n{small}".rstrip()


def _figure(figure: Compared | Estimate | None, words: QualityFigure | None = None) -> Cell:
    if figure is None:
        return "-", ""
    if words is not None and words.has_unit:
        return _error(figure, words)
    value = f"{figure.value:.4f}" if figure.value == 0 or abs(figure.value) >= 1e-3 else f"{figure.value:.1e}"
    if figure.low == figure.high:
        return value, ""
    if isinstance(figure, Compared):
        return value, f"{figure.change:+.4f} [{figure.low:+.4f}, {figure.high:+.4f}]"
    digits = ".4f" if abs(figure.high) >= 1e-3 else ".1e"
    return value, f"[{figure.low:{digits}}, {figure.high:{digits}}]"


def _error(figure: Compared | Estimate, words: QualityFigure) -> Cell:
    """Show a figure in the unit of the output, which may be of any size."""
    if not isinstance(figure, Compared) or figure.low == figure.high:
        return words.show(figure.value), ""
    change, low, high = (words.show(each, "+") for each in (figure.change, figure.low, figure.high))
    return words.show(figure.value), f"{change} [{low}, {high}]"


def show_output(item: OutputFigures) -> Cell:
    """Show the figures of one output."""
    value, interval = _figure(item.agreement)
    words = [interval] if interval else []
    if item.low is not None and item.high is not None:
        words.append(f"{item.low:.3g} to {item.high:.3g}")
    if item.r2 is not None:
        low = "" if item.r2_low in (None, item.r2) else f", at least {item.r2_low:.4f}"
        words.append(f"R2 {item.r2:.4f}{low}")
    if item.correlation is not None:
        words.append(f"correlation {item.correlation.value:.4f}")
    return value, ", ".join(words)
