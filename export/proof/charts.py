"""Charts: the pictures of a report, as SVG that takes the page's own colour for its text and axes."""

import io
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from export.proof.standing import Standing, front
from serve.bundle import Bundle

# Colours that stay apart for colour-blind readers (after Okabe and Ito), on white and on black.
_COLOURS = ("#2f86c6", "#e69f00", "#0aa27a", "#cc79a7", "#d55e00", "#56b4e9", "#b8a200")
# Stands for the page's own colour until the picture is finished.
_INK = "#0a0b0c"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, so that the page can be searched and read aloud
    "font.size": 11,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _INK,
    "grid.alpha": 0.12,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}
_MOST_BARS = 16


def draw_front(standings: Sequence[Standing]) -> str:
    """Quality against latency; a line joins the variants that no other beats in both, named in bold."""
    best = front(standings)

    def draw(axes: Axes) -> None:
        for item, colour in zip(standings, cycle(_COLOURS)):
            ends = [[max(0, item.quality - item.low)], [max(0, item.high - item.quality)]]
            fill = "none" if item.rejected else colour
            axes.errorbar(item.latency_ms, item.quality, yerr=ends, color=colour, elinewidth=1.2, capsize=3)
            axes.scatter(item.latency_ms, item.quality, s=90, facecolor=fill, edgecolor=colour, zorder=3)
            axes.annotate(
                item.variant,
                (item.latency_ms, item.quality),
                xytext=(8, 6),
                textcoords="offset points",
                fontweight="bold" if item in best else "normal",
            )
        axes.plot(
            [item.latency_ms for item in best],
            [item.quality for item in best],
            color=_INK,
            alpha=0.45,
            linestyle="--",
            linewidth=1,
            zorder=1,
        )
        axes.margins(0.15, 0.2)
        # From zero: a difference that looks large is large.
        axes.set_xlim(0, 1.1 * axes.get_xlim()[1])
        axes.set(xlabel=f"median latency of {standings[0].place}, ms", ylabel=standings[0].measure)

    return _svg("front", [draw])


def draw_curves(bundles: Mapping[str, Bundle]) -> str:
    """CPU time for a row against the rows of a batch, one picture for each length of text; a ring at the
    knee."""

    def drawer(tokens: int | None) -> Callable[[Axes], None]:
        def draw(axes: Axes) -> None:
            for (name, bundle), colour in zip(bundles.items(), cycle(_COLOURS)):
                speed = bundle.figures.speed
                points = [point for point in speed.points if point.tokens == tokens]
                rows = [point.rows for point in points]
                cost = [point.cpu_p50_ms / point.rows for point in points]
                axes.plot(rows, cost, color=colour, marker="o", markersize=3.5, label=name)
                if speed.knee_rows in rows:
                    knee = cost[rows.index(speed.knee_rows)]
                    axes.scatter(speed.knee_rows, knee, s=110, facecolor="none", edgecolor=colour)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_xticks(rows, [str(row) for row in rows])
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("{x:g}")
            axes.set(xlabel="rows in a batch" + (f", {tokens} tokens each" if tokens else ""))
            axes.set_ylabel("CPU time for a row, ms")
            axes.legend()

        return draw

    lengths = dict.fromkeys(
        point.tokens for bundle in bundles.values() for point in bundle.figures.speed.points
    )
    return _svg("curves", [drawer(tokens) for tokens in lengths])


def draw_classes(bundles: Mapping[str, Bundle]) -> str | None:
    """How much each class gained or lost in F1, those first that lost most; None: there are no classes."""
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
        width = 0.8 / len(changes)
        for number, (name, item) in enumerate(changes.items()):
            at = [place + (number - (len(changes) - 1) / 2) * width for place in range(len(shown))]
            colour = _COLOURS[(list(bundles).index(name)) % len(_COLOURS)]
            axes.bar(at, [item.get(label, 0) for label in shown], 0.9 * width, color=colour, label=name)
        axes.axhline(0, color=_INK, linewidth=0.8)
        axes.set_xticks(range(len(shown)), [str(label) for label in shown])
        axes.set(xlabel="class", ylabel="change of F1")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4)

    return _svg("classes", [draw])


def draw_sensitivity(name: str, blocks: Sequence[Mapping[str, Any]]) -> str:
    """How much nearer to the float graph's answers a variant comes when one block stays in float."""
    shown = sorted(blocks, key=lambda block: -float(block["divergence"]))[:_MOST_BARS]

    def draw(axes: Axes) -> None:
        places = range(len(shown), 0, -1)
        axes.barh(places, [block["divergence"] for block in shown], color=_COLOURS[0], height=0.7)
        axes.set_yticks(places, [str(block["block"]) for block in shown])
        axes.set(xlabel="divergence that goes when the block stays in float")

    return _svg(f"sensitivity {name}", [draw])


def _svg(name: str, drawers: Sequence[Callable[[Axes], None]]) -> str:
    # The salt keeps ids apart: all pictures stand in one page.
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(6.6 if len(drawers) == 1 else 4.6 * len(drawers), 4.1), layout="constrained")
        for axes, draw in zip(figure.subplots(1, len(drawers), squeeze=False)[0], drawers, strict=True):
            draw(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    _, opening, rest = buffer.getvalue().partition("<svg")
    return f'{opening} role="img"{rest}'.replace(_INK, "currentColor")
