"""Draws the figures of the benchmark as one SVG file without external fonts or scripts."""

import math
from collections.abc import Callable, Sequence
from html import escape

from loadtests.peers.report import LoadFigures, PartReport, ServingReport, load_name

_WIDTH, _LEFT, _RIGHT = 900, 110, 70
_ROW, _HEAD, _FOOT = 22, 54, 34
# Colours that colour-blind readers can tell apart (Okabe and Ito).
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
_STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #222; } .title { font-size: 15px; font-weight: 600; }
.small { font-size: 11px; fill: #555; } .grid { stroke: #ddd; } .back { fill: #fff; }
.floor { stroke: #D55E00; stroke-dasharray: 4 3; }
circle { fill-opacity: 0.85; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6e6e6; } .small { fill: #aaa; } .grid { stroke: #444; } .back { fill: #161616; }
}
</style>"""


def draw(report: ServingReport) -> str:
    """Draw a panel of CPU time and a panel of p99 latency for each part, on logarithmic axes."""
    top, panels = 0, []
    for part in report.parts:
        for body, height in _panels(part):
            panels.append(f'<g transform="translate(0 {top})">{body}</g>')
            top += height
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" role="img">'
    label = "<title>Cost per request of servers side by side</title>"
    back = f'<rect class="back" width="{_WIDTH}" height="{top}"/>'
    return "\n".join([head, label, _STYLE, back, *panels, "</svg>\n"])


def _panels(part: PartReport) -> list[tuple[str, int]]:
    steady = [row for row in part.figures if row.rate_per_s is not None]
    closed = [row for row in part.figures if row.rate_per_s is None]
    cost = f"{part.name}: CPU time of all the server's processes, ms per request"
    slow = f"{part.name}: 99 of 100 requests were faster than, ms"
    panels = [_panel(cost, closed, lambda row: row.cpu_ms_per_request, part.floor_cpu_ms)]
    panels.append(_panel(slow, steady or closed, lambda row: row.p99_ms, None))
    return [panel for panel in panels if panel[1]]


def _panel(
    title: str, rows: Sequence[LoadFigures], value: Callable[[LoadFigures], float], floor: float | None
) -> tuple[str, int]:
    """Return the panel and its height; the height is 0 if there is nothing to draw."""
    if not any(row.kept_up for row in rows):
        return "", 0
    servers = list(dict.fromkeys(row.server for row in rows))
    colours = dict(zip(dict.fromkeys(map(load_name, rows)), _COLOURS, strict=False))
    kept = [row for row in rows if row.kept_up]
    values = [value(row) for row in kept] + ([floor] if floor else [])
    scale = _scale(min(values), max(values))
    bottom = _HEAD + _ROW * len(servers)
    parts = [f'<text class="title" x="12" y="22">{escape(title)}</text>', _legend(colours, floor)]
    for tick in _ticks(min(values), max(values)):
        x = scale(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_HEAD}" y2="{bottom}"/>')
        parts.append(
            f'<text class="small" x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{tick:g}</text>'
        )
    if floor:
        x = scale(floor)
        parts.append(f'<line class="floor" x1="{x:.1f}" x2="{x:.1f}" y1="{_HEAD}" y2="{bottom}"/>')
    for number, server in enumerate(servers):
        y = _HEAD + _ROW * number + _ROW // 2
        parts.append(f'<text x="{_LEFT - 12}" y="{y + 4}" text-anchor="end">{escape(server)}</text>')
        mine = [row for row in kept if row.server == server]
        parts += [_dot(scale(value(row)), y, colours[load_name(row)], row, value(row)) for row in mine]
        largest = max(map(value, mine), default=None)
        x, said = (scale(largest) + 10, _figure(largest)) if largest else (_LEFT, "did not keep up")
        parts.append(f'<text class="small" x="{x:.1f}" y="{y + 4}">{said}</text>')
    return "\n".join(parts), bottom + _FOOT


def _dot(x: float, y: int, colour: str, row: LoadFigures, value: float) -> str:
    said = escape(f"{row.server}, {load_name(row)}: {_figure(value)} ms")
    return f'<circle cx="{x:.1f}" cy="{y}" r="5" fill="{colour}"><title>{said}</title></circle>'


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _legend(colours: dict[str, str], floor: float | None) -> str:
    x, parts = _LEFT, []
    for name, colour in colours.items():
        parts.append(f'<circle cx="{x}" cy="38" r="5" fill="{colour}"/>')
        parts.append(f'<text class="small" x="{x + 9}" y="42">{escape(name)}</text>')
        x += 130
    if floor:
        parts.append(f'<line class="floor" x1="{x - 4}" x2="{x + 12}" y1="38" y2="38"/>')
        parts.append(f'<text class="small" x="{x + 18}" y="42">onnxruntime alone, {_figure(floor)}</text>')
    return "\n".join(parts)


def _scale(low: float, high: float) -> Callable[[float], float]:
    """Return the mapping from values to x. The axis extends a tenth beyond the values, so that no dot is
    cut."""
    first, last = math.log(low / 1.1), math.log(high * 1.1)
    return lambda value: _LEFT + (math.log(value) - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)


def _ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [
        step * 10.0**power
        for power in powers
        for step in (1, 2, 5)
        if low / 1.1 <= step * 10.0**power <= high * 1.1
    ]
