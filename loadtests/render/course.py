"""Course: the picture of what happened when."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from loadtests.render.canvas import INK, Key, Picture, draw, mark_limit
from loadtests.report import LoadReport, Timeline

Drawer = Callable[[Axes], None]


def draw_course(report: LoadReport, keys: Mapping[str, Key]) -> Picture | None:
    """Latency, throughput, errors, requests in flight and memory over time; None: no window was finished."""
    line = report.timeline
    if line is None or not line.at_s:
        return None
    memory = any(size is not None for size in line.memory_bytes)
    drawers = [
        _latency(line, keys, report.limits.p99_ms),
        _throughput(line, keys),
        _errors(line, keys),
        _server("in flight", line, line.in_flight),
    ]
    if memory:
        sizes = [None if size is None else size / 2**20 for size in line.memory_bytes]
        drawers.append(_server("memory, MiB", line, sizes))
    drawers[-1] = _with_seconds(drawers[-1], line)
    failed = sum(sum(curve.errors) for curve in line.variants.values())
    worst = [value for curve in line.variants.values() for value in curve.p99_ms if value is not None]
    alt = f"What happened when, in {len(line.at_s)} windows up to {line.at_s[-1]:g} s. {failed:,} errors"
    alt += f"; the highest p99 of a window is {max(worst):.1f} ms" if worst else "; no window has a p99"
    return Picture(
        svg=draw(alt, drawers, height=0.6 + 1.25 * len(drawers)),
        keys=tuple(key for name, key in keys.items() if name in line.variants),
        caption="What happened when. Of latency the thick line is the p50 of a window, the thin one its p99. "
        "In flight is the most that was unanswered at once: if it rises to the end, the server could not "
        "keep up.",
    )


def _middles(line: Timeline) -> list[float]:
    return [end - width / 2 for end, width in zip(line.at_s, _widths(line), strict=True)]


def _widths(line: Timeline) -> list[float]:
    """How long each window is; windows are alike, so the first is as long as the second, or begins at 0."""
    widths = [later - earlier for earlier, later in pairwise(line.at_s)]
    return [widths[0] if widths else max(line.at_s[0], 1e-9), *widths]


def _latency(line: Timeline, keys: Mapping[str, Key], limit_ms: float | None) -> Drawer:
    def drawer(axes: Axes) -> None:
        for name, curve in line.variants.items():
            _plot(axes, line, curve.p50_ms, keys[name], 1.8)
            _plot(axes, line, curve.p99_ms, keys[name], 0.8)
        _from_zero(axes, "latency, ms", limit_ms or 0)
        mark_limit(axes, limit_ms)

    return drawer


def _throughput(line: Timeline, keys: Mapping[str, Key]) -> Drawer:
    def drawer(axes: Axes) -> None:
        for name, curve in line.variants.items():
            rates = [count / width for count, width in zip(curve.requests, _widths(line), strict=True)]
            _plot(axes, line, rates, keys[name], 1.5)
        _from_zero(axes, "requests/s")

    return drawer


def _errors(line: Timeline, keys: Mapping[str, Key]) -> Drawer:
    def drawer(axes: Axes) -> None:
        for name, curve in line.variants.items():
            _plot(axes, line, curve.errors, keys[name], 1.5)
        _from_zero(axes, "errors", 1)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))

    return drawer


def _server(label: str, line: Timeline, values: Sequence[float | None]) -> Drawer:
    def drawer(axes: Axes) -> None:
        _plot(axes, line, values, Key(name=label, colour=INK), 1.5)
        _from_zero(axes, label)

    return drawer


def _with_seconds(drawer: Drawer, line: Timeline) -> Drawer:
    def labelled(axes: Axes) -> None:
        drawer(axes)
        axes.set(xlabel="seconds", xlim=(min(0, line.at_s[0]), line.at_s[-1]))

    return labelled


def _plot(axes: Axes, line: Timeline, values: Sequence[float | None], key: Key, width: float) -> None:
    # A gap where there is nothing; a dot, or a window between two gaps would not be seen.
    shown = [float("nan") if value is None else value for value in values]
    axes.plot(_middles(line), shown, linewidth=width, marker=".", markersize=3, **key.line)


def _from_zero(axes: Axes, label: str, least: float = 0) -> None:
    axes.set_ylim(0, 1.15 * max(axes.get_ylim()[1], least))
    axes.set_ylabel(label)
