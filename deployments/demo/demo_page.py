"""Page: the summary as one self-contained HTML file, its pictures drawn inside."""

import io
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from deployments.demo.summary import Summary, cells, notes

# Colours that stay apart for colour-blind readers (Okabe and Ito).
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")

_TEMPLATE = Path(__file__).with_name("page.html.jinja")


def render(summary: Summary) -> str:
    """The page."""
    head, *rows = cells(summary)
    template = jinja2.Environment(autoescape=True).from_string(_TEMPLATE.read_text())
    return template.render(
        summary=summary,
        head=head,
        rows=rows,
        notes=notes(summary),
        accuracy=_svg(lambda axes: _draw_accuracy(axes, summary)),
        latency=_svg(lambda axes: _draw_latency(axes, summary.pinned)),
        split=_svg(lambda axes: _draw_latency(axes, summary.split)),
    )


def _svg(draw: Callable[[Axes], None]) -> str:
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    draw(axes)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    buffer = io.StringIO()
    # Text stays text, so that the page can be searched and read aloud.
    with mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue().partition("<svg")[1] + buffer.getvalue().partition("<svg")[2]


def _draw_accuracy(axes: Axes, summary: Summary) -> None:
    largest = max(row.model_size_bytes for row in summary.variants)
    for row, colour in zip(summary.variants, cycle(_COLOURS)):
        if (p50_ms := _reports(summary.pinned)[row.variant]["p50_ms"]) is not None:
            area = 40 + 500 * row.model_size_bytes / largest
            label = f"{row.variant}, {row.model_size_bytes / 1024:.0f} KiB"
            axes.scatter(p50_ms["value"], row.accuracy, s=area, color=colour, alpha=0.75, label=label)
    axes.margins(0.1, 0.3)
    # From zero: a difference that looks large is large.
    axes.set_xlim(0, 1.15 * axes.get_xlim()[1])
    axes.set(xlabel="median latency, ms", ylabel="accuracy on held-out scans")
    for handle in axes.legend(frameon=False, loc="lower left").legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([60])


def _draw_latency(axes: Axes, report: dict[str, Any]) -> None:
    for (variant, row), colour in zip(_reports(report).items(), cycle(_COLOURS)):
        if row["curve"]:
            tail = [1 / (1 - quantile) for quantile, _ in row["curve"]]
            axes.plot(tail, [ms for _, ms in row["curve"]], color=colour, label=variant)
    axes.set_xscale("log")
    axes.set_yscale("log")
    marks = {1: "0 %", 2: "50 %", 10: "90 %", 100: "99 %", 1000: "99.9 %"}
    axes.set_xticks(list(marks), list(marks.values()))
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="share of requests that were at least as fast", ylabel="latency, ms")
    axes.legend(frameon=False)


def _reports(report: dict[str, Any]) -> dict[str, Any]:
    variants: dict[str, Any] = report["variants"]
    return variants
