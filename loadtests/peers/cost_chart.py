"""Draws the figures of the benchmark as one SVG file without external fonts or scripts."""

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from loadtests.peers.report import LoadFigures, PartReport, ServingReport, load_name
from loadtests.render.svg import COLOURS, INK, draw

# A chart inside a page takes these colours from the page; a file of its own has none to take them from.
_STYLE = """
<style>
svg { color: #222; background: #fff; }
@media (prefers-color-scheme: dark) { svg { color: #e6e6e6; background: #161616; } }
</style>"""
_WIDTH = 9.0
_PANEL, _ROW = 1.3, 0.26


def draw_costs(report: ServingReport) -> str:
    """Draw a panel of CPU time and a panel of p99 latency for each part, on logarithmic axes."""
    panels = [panel for part in report.parts for panel in _panels(part)]
    description = "; ".join(each for _, _, words in panels for each in words)
    svg = draw(
        f"Cost per request of servers side by side. {description}",
        [drawer for drawer, _, _ in panels],
        height=sum(height for _, height, _ in panels),
        width=_WIDTH,
        shared=False,
    )
    opening, end, rest = svg.partition(">")
    return f"{opening}{end}{_STYLE}{rest}\n"


Panel = tuple[Callable[[Axes], None], float, list[str]]


def _panels(part: PartReport) -> list[Panel]:
    """Return the panels with figures, each with its height in inches and its figures in words."""
    steady = [row for row in part.figures if row.rate_per_s is not None]
    closed = [row for row in part.figures if row.rate_per_s is None]
    cost = f"{part.name}: CPU time of all the server's processes, ms per request"
    slow = f"{part.name}: 99 of 100 requests were faster than, ms"
    panels = [
        _panel(cost, closed, lambda row: row.cpu_ms_per_request, part.floor_cpu_ms),
        _panel(slow, steady or closed, lambda row: row.p99_ms, None),
    ]
    return [panel for panel in panels if panel is not None]


def _panel(
    title: str, rows: Sequence[LoadFigures], value: Callable[[LoadFigures], float], floor: float | None
) -> Panel | None:
    kept = [row for row in rows if row.kept_up]
    if not kept:
        return None
    servers = list(dict.fromkeys(row.server for row in rows))
    words = [f"{row.server}, {load_name(row)}: {_figure(value(row))} ms" for row in kept]

    def drawer(axes: Axes) -> None:
        axes.set_xscale("log")
        for load, colour in zip(dict.fromkeys(map(load_name, rows)), COLOURS, strict=False):
            bars = [row for row in kept if load_name(row) == load]
            places = [servers.index(row.server) for row in bars]
            axes.scatter([value(row) for row in bars], places, color=colour, label=load, zorder=2)
        if floor:
            label = f"onnxruntime alone, {_figure(floor)}"
            axes.axvline(floor, color=INK, linestyle=(0, (2, 2)), linewidth=1, label=label)
        for place, server in enumerate(servers):
            largest = max((value(row) for row in kept if row.server == server), default=None)
            at = (
                (0.0, "axes fraction", "did not keep up")
                if largest is None
                else (largest, "data", _figure(largest))
            )
            axes.annotate(
                at[2], (at[0], place), xycoords=(at[1], "data"), xytext=(8, -3), textcoords="offset points"
            )
        axes.set_yticks(range(len(servers)), servers)
        axes.set_ylim(len(servers) - 0.5, -0.5)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.margins(x=0.1)
        axes.set_title(title, loc="left")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)

    return drawer, _PANEL + _ROW * len(servers), words


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
