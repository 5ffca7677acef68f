"""Draws cost, quality, latency and the course of the rollouts as SVG."""

import io
from collections.abc import Callable
from itertools import cycle
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deployments.demo.rollout_story import RolloutStory
from deployments.demo.summary import Summary
from serve.rollout.state.rollout import Phase

# Colours that stay apart for colour-blind readers (Okabe and Ito).
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
_ENDS = {Phase.DONE: "#009E73", Phase.ROLLED_BACK: "#D55E00", Phase.INCONCLUSIVE: "#777777"}


def draw_cost(summary: Summary) -> str:
    """Draw bars of CPU ms per request: the model's run, and everything else in the server."""

    def draw(axes: Axes) -> None:
        rows = [(row.variant, cpu) for row in summary.variants[::-1] if (cpu := row.cpu_per_request)]
        names, model = [name for name, _ in rows], [cpu.model_ms for _, cpu in rows]
        around = [cpu.total_ms - cpu.model_ms for _, cpu in rows]
        axes.barh(names, model, color=_COLOURS[0], label="the model's run")
        axes.barh(names, around, left=model, color="#BBBBBB", label="everything around it")
        for place, (_, cpu) in enumerate(rows):
            axes.annotate(
                f"{cpu.total_ms:.2f}", (cpu.total_ms, place), (4, 0), textcoords="offset points", va="center"
            )
        axes.margins(x=0.15)
        axes.set_xlabel("CPU ms a request")
        axes.figure.legend(loc="outside upper left", ncols=2, frameon=False)

    return _svg(draw)


def draw_quality(summary: Summary) -> str:
    """Draw accuracy against CPU ms per request; the area of a point is the size of the file."""

    def draw(axes: Axes) -> None:
        largest = max(row.model_size_bytes for row in summary.variants)
        for row, colour in zip(summary.variants, cycle(_COLOURS)):
            if (cpu := row.cpu_per_request) is not None:
                area = 40 + 500 * row.model_size_bytes / largest
                label = f"{row.variant}, {row.model_size_bytes / 2**20:.1f} MiB"
                axes.scatter(cpu.total_ms, row.accuracy, s=area, color=colour, alpha=0.75)
                # All symbols in the legend have one size.
                axes.scatter([], [], s=60, color=colour, label=label)
        # A wide range, so that a small difference does not look large.
        axes.set_xlim(0, 1.15 * axes.get_xlim()[1])
        axes.set_ylim(min(axes.get_ylim()[0], 0.9), 1)
        axes.set(xlabel="CPU ms a request", ylabel="accuracy on held-out scans")
        axes.figure.legend(loc="outside upper left", ncols=2, frameon=False)

    return _svg(draw)


def draw_latency(summary: Summary) -> str:
    """Draw latency against the share of requests that were at least as fast."""

    def draw(axes: Axes) -> None:
        variants: Any = summary.compared["variants"]
        for (variant, row), colour in zip(variants.items(), cycle(_COLOURS)):
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
        axes.figure.legend(loc="outside upper left", ncols=4, frameon=False)

    return _svg(draw)


def draw_timeline(story: RolloutStory) -> str:
    """Draw the candidate's share of the requests over time, with a number at each change."""

    def draw(axes: Axes) -> None:
        times = [move.after_s for move in story.moves]
        shares = [move.share for move in story.moves]
        # Room to the right of the last change.
        until = times[-1] + max(2.0, 0.06 * times[-1])
        axes.fill_between([*times, until], [*shares, shares[-1]], step="post", color=_COLOURS[0], alpha=0.15)
        axes.step([*times, until], [*shares, shares[-1]], where="post", color=_COLOURS[0])
        for number, move in enumerate(story.moves, start=1):
            colour = _ENDS.get(move.phase, _COLOURS[0])
            axes.plot(move.after_s, move.share, "o", color=colour, markersize=15, clip_on=False, zorder=3)
            axes.annotate(
                str(number), (move.after_s, move.share), ha="center", va="center", color="white", zorder=4
            )
        axes.set_ylim(-0.04, 1.04)
        axes.set_yticks([0, 0.1, 0.5, 1], ["0 %", "10 %", "50 %", "100 %"])
        axes.set(xlabel="seconds since its start", ylabel=f"share of {story.candidate}")

    return _svg(draw, height=2.6)


def _svg(draw: Callable[[Axes], None], height: float = 3.4) -> str:
    figure = Figure(figsize=(5.2, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    draw(axes)
    buffer = io.StringIO()
    # Text is written as text, so that browsers can search it and screen readers can read it.
    with mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "".join(buffer.getvalue().partition("<svg")[1:])
