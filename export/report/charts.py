"""Draws the charts of a report as SVG that uses the page's own colour for its text and axes."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from math import ceil
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from export.data.labels import name_class
from export.proof.curve import find_knee
from export.report.pareto import ParetoPoint, front
from export.report.point_labels import Callout, call_out
from serve.bundles.bundle import Bundle

# Colours that colour-blind readers can tell apart (after Okabe and Ito), on white and on black.
COLOURS = ("#2f86c6", "#e69f00", "#0aa27a", "#cc79a7", "#d55e00", "#56b4e9", "#b8a200")
# A placeholder for the page's own colour until the chart is finished.
INK = "#0a0b0c"
GREY = "#8a8a8a"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, so that the page can be searched and read aloud
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.12,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}
_MOST_BARS = 16
# In inches: one chart, one of several side by side, and the height of a line of text.
_WIDE, _NARROW, _HIGH, _LINE = 6.6, 4.6, 4.1, 0.24
# Number of characters of a name beside an axis, and of a legend per inch.
_LONGEST_NAME = 32
_LETTERS_PER_INCH = 11


def draw_front(standings: Sequence[ParetoPoint]) -> Figure:
    """Draw quality over latency. A line joins the accepted variants that no other one beats in both, which
    are named in bold. Rejected variants are hollow and grey."""
    best = front(standings)

    def draw(axes: Axes) -> None:
        for item, own in zip(standings, cycle(COLOURS)):
            ends = [[max(0, item.quality - item.low)], [max(0, item.high - item.quality)]]
            colour, fill = (GREY, "none") if item.rejected else (own, own)
            axes.errorbar(item.latency_ms, item.quality, yerr=ends, color=colour, elinewidth=1.2, capsize=3)
            axes.scatter(item.latency_ms, item.quality, s=90, facecolor=fill, edgecolor=colour, zorder=3)
        axes.plot(
            [item.latency_ms for item in best],
            [item.quality for item in best],
            color=INK,
            alpha=0.45,
            linestyle="--",
            linewidth=1,
            zorder=1,
        )
        axes.margins(0.15, 0.2)
        # The axis begins at zero, so that differences of latency keep their proportions.
        axes.set_xlim(0, 1.1 * axes.get_xlim()[1])
        axes.set(xlabel=f"median latency of {standings[0].place}, ms", ylabel=standings[0].measure)
        if axes.get_ylim()[0] > 0:
            axes.set_ylabel(f"{standings[0].measure}\n(the axis does not start at 0)")
        call_out(axes, [_callout(item, item in best) for item in standings])

    return draw_panels([draw])


def draw_curves(bundles: Mapping[str, Bundle]) -> Figure:
    """Draw CPU time per row over the rows of a batch, one chart per length of text, with a ring at the knee
    unless rows run separately."""

    def drawer(tokens: int | None) -> Callable[[Axes], None]:
        def draw(axes: Axes) -> None:
            for (name, bundle), colour in zip(bundles.items(), cycle(COLOURS)):
                points = [point for point in bundle.figures.speed.points if point.tokens == tokens]
                if not points:
                    continue
                cost = {point.rows: point.cpu_p50_ms / point.rows for point in points}
                axes.plot(
                    list(cost), list(cost.values()), color=colour, marker="o", markersize=3.5, label=name
                )
                if bundle.rows == "together":
                    knee = find_knee(points)
                    axes.scatter(knee, cost[knee], s=110, facecolor="none", edgecolor=colour)
            axes.set_xscale("log", base=2)
            rows = {point.rows for bundle in bundles.values() for point in bundle.figures.speed.points}
            axes.set_xticks(sorted(rows), [str(size) for size in sorted(rows)])
            _scale_costs(axes)
            axes.set(xlabel="rows in a batch" + (f", {tokens} tokens each" if tokens else ""))
            axes.set_ylabel("CPU time for a row, ms")

        return draw

    lengths = dict.fromkeys(
        point.tokens for bundle in bundles.values() for point in bundle.figures.speed.points
    )
    return draw_panels([drawer(tokens) for tokens in lengths], named=list(bundles))


def draw_classes(bundles: Mapping[str, Bundle], classes: Sequence[str]) -> Figure | None:
    """Draw the change of each class's F1, the largest losses first, with the names in `classes`. None without
    classes."""
    changes = {
        name: {item.label: item.f1 - item.baseline_f1 for item in bundle.figures.quality.classes}
        for name, bundle in bundles.items()
        if name != bundle.baseline
    }
    labels = {label for item in changes.values() for label in item}
    shown = sorted(labels, key=lambda label: (min(item.get(label, 0) for item in changes.values()), label))
    shown = shown[:_MOST_BARS]
    if not shown:
        return None

    def draw(axes: Axes) -> None:
        height = 0.8 / len(changes)
        for number, (name, item) in enumerate(changes.items()):
            at = [place + (number - (len(changes) - 1) / 2) * height for place in range(len(shown))]
            colour = COLOURS[(list(bundles).index(name)) % len(COLOURS)]
            axes.barh(at, [item.get(label, 0) for label in shown], 0.9 * height, color=colour, label=name)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_yticks(range(len(shown)), [_shorten(name_class(label, classes)) for label in shown])
        axes.invert_yaxis()
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set(xlabel="change of F1", ylabel="class")

    return draw_panels([draw], named=list(changes), lines=len(shown) * max(1, len(changes) / 3))


def draw_sensitivity(blocks: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw how much closer a variant comes to the float graph's answers when one block stays in float."""
    shown = sorted(blocks, key=lambda block: -float(block["divergence"]))[:_MOST_BARS]

    def draw(axes: Axes) -> None:
        places = range(len(shown), 0, -1)
        axes.barh(places, [block["divergence"] for block in shown], color=COLOURS[0], height=0.7)
        axes.set_yticks(places, [_shorten(str(block["block"])) for block in shown])
        axes.set(xlabel="decrease of the divergence if the block stays in float")

    return draw_panels([draw], lines=len(shown))


def write_svg(name: str, figure: Figure) -> str:
    """Return the chart as SVG; `name` makes its ids unique, because all charts are in one page."""
    buffer = io.StringIO()
    with _style(name):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    _, opening, rest = buffer.getvalue().partition("<svg")
    return f'{opening} role="img"{rest}'.replace(INK, "currentColor")


def _callout(item: ParetoPoint, bold: bool) -> Callout:
    return Callout(
        x=item.latency_ms,
        y=item.quality,
        low=min(item.low, item.quality),
        high=max(item.high, item.quality),
        name=item.variant,
        bold=bold,
    )


def _scale_costs(axes: Axes) -> None:
    """Make a logarithmic axis whose labels do not overlap, with labels in small ranges, too."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    ratio = high / low
    # Three labels or more.
    if ratio < 10:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    else:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio < 1e4 else (1,)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()


def _shorten(name: str) -> str:
    """Shorten a long name in the middle: names of a network's blocks differ at the end, names of classes at
    the start."""
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[: half - 3]}...{name[-half:]}"


def draw_panels(
    drawers: Sequence[Callable[[Axes], None]], named: Sequence[str] = (), lines: float = 0
) -> Figure:
    """Draw charts side by side below one legend of the entries in `named`, with room for this number of
    `lines` of text."""
    width = _WIDE if len(drawers) == 1 else _NARROW * len(drawers)
    columns = max(1, int(width * _LETTERS_PER_INCH / (max(map(len, named), default=0) + 8)))
    legend = ceil(len(named) / columns)
    with _style():
        height = max(_HIGH, _LINE * lines + 1) + _LINE * legend
        figure = Figure(figsize=(width, height), layout="constrained")
        panels = figure.subplots(1, len(drawers), squeeze=False)[0]
        for axes, draw in zip(panels, drawers, strict=True):
            draw(axes)
        if named:
            found = {
                name: handle
                for axes in panels
                for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
            }
            columns = min(columns, len(named))
            # matplotlib fills a legend column by column, and people read it row by row.
            rows = [name for column in range(columns) for name in list(found)[column::columns]]
            figure.legend([found[name] for name in rows], rows, loc="outside upper center", ncols=columns)
    return figure


@contextmanager
def _style(name: str = "") -> Iterator[None]:
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        yield
