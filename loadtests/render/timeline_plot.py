"""Draws what happened over the time of a run."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from loadtests.load_timeline import LoadTimeline
from loadtests.render.svg import INK, Key, Picture, draw, mark_limit
from loadtests.report import LoadReport

Drawer = Callable[[Axes], None]


def draw_timeline(report: LoadReport, keys: Mapping[str, Key]) -> Picture | None:
    """Draw latency, throughput, errors, requests in flight and memory over time; None if no window was
    finished."""
    line = report.timeline
    if line is None or not line.at_s:
        return None
    memory = any(size is not None for size in line.memory_bytes)
    drawers = [
        _median(line, keys),
        _tail(line, keys, report.limits.p99_ms),
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
    windows = f"{len(line.at_s)} window{'s' if len(line.at_s) != 1 else ''}"
    alt = f"What happened when, in {windows} up to {line.at_s[-1]:g} s. {failed:,} errors"
    alt += f"; the highest p99 of a window is {max(worst):.1f} ms" if worst else "; no window has a p99"
    return Picture(
        svg=draw(alt, drawers, height=0.6 + 1.1 * len(drawers)),
        keys=tuple(key for name, key in keys.items() if name in line.variants),
        caption="The run over time, window by window. In flight is the highest number of unanswered "
        "requests: if "
        "it rises until the end, the server could not keep up.",
    )


def _middles(line: LoadTimeline) -> list[float]:
    return [end - width / 2 for end, width in zip(line.at_s, _widths(line), strict=True)]


def _widths(line: LoadTimeline) -> list[float]:
    """Return the width of each window. The first begins at 0; a window of the warm-up is as long as the next
    one."""
    widths = [later - earlier for earlier, later in pairwise(line.at_s)]
    return [line.at_s[0] if line.at_s[0] > 0 or not widths else widths[0], *widths]


def _median(line: LoadTimeline, keys: Mapping[str, Key]) -> Drawer:
    def drawer(axes: Axes) -> None:
        for name, curve in line.variants.items():
            _plot(axes, line, curve.p50_ms, keys[name])
        _from_zero(axes, "p50, ms")

    return drawer


def _tail(line: LoadTimeline, keys: Mapping[str, Key], limit_ms: float | None) -> Drawer:
    def drawer(axes: Axes) -> None:
        for name, curve in line.variants.items():
            _plot(axes, line, curve.p99_ms, keys[name])
        _from_zero(axes, "p99, ms", limit_ms or 0)
        mark_limit(axes, limit_ms)

    return drawer


def _throughput(line: LoadTimeline, keys: Mapping[str, Key]) -> Drawer:
    def drawer(axes: Axes) -> None:
        for name, curve in line.variants.items():
            rates = [count / width for count, width in zip(curve.requests, _widths(line), strict=True)]
            _plot(axes, line, rates, keys[name])
        _from_zero(axes, "requests/s")

    return drawer


def _errors(line: LoadTimeline, keys: Mapping[str, Key]) -> Drawer:
    def drawer(axes: Axes) -> None:
        for name, curve in line.variants.items():
            _plot(axes, line, curve.errors, keys[name])
        _from_zero(axes, "errors", 1)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))

    return drawer


def _server(label: str, line: LoadTimeline, values: Sequence[float | None]) -> Drawer:
    def drawer(axes: Axes) -> None:
        _plot(axes, line, values, Key(name=label, colour=INK))
        _from_zero(axes, label)

    return drawer


def _with_seconds(drawer: Drawer, line: LoadTimeline) -> Drawer:
    def labelled(axes: Axes) -> None:
        drawer(axes)
        axes.set(xlabel="seconds", xlim=(min(0, line.at_s[0]), max(1e-9, line.at_s[-1])))

    return labelled


def _plot(axes: Axes, line: LoadTimeline, values: Sequence[float | None], key: Key) -> None:
    # Missing values leave a gap. A dot makes a single window between two gaps visible.
    shown = [float("nan") if value is None else value for value in values]
    axes.plot(_middles(line), shown, linewidth=1.4, marker=".", markersize=2.5, **key.line)


def _from_zero(axes: Axes, label: str, least: float = 0) -> None:
    axes.set_ylim(0, 1.15 * max(axes.get_ylim()[1], least))
    axes.set_ylabel(label)
