"""Draws a search for capacity as latency over throughput."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from loadtests.capacity_record import Probe
from loadtests.load_verdict import CheckOutcome
from loadtests.render.svg import Key, Picture, draw, mark_limit
from loadtests.report import LoadReport

# Above this multiple of the limit, a latency only shows that the server is overloaded.
_TOP = 2.5


def draw_search(report: LoadReport, keys: Mapping[str, Key]) -> Picture | None:
    """Draw the p99 of every rate tried; None if there was no search."""
    probes = [probe for probe in report.probes if probe.p99_ms is not None]
    if not probes:
        return None
    limit_ms = report.limits.p99_ms
    top_ms = 1.1 * (max(probe.p99_ms or 0 for probe in probes) or 1)
    if limit_ms is not None:
        # The limit is always visible.
        top_ms = min(max(top_ms, 1.2 * limit_ms), _TOP * limit_ms)

    def drawer(axes: Axes) -> None:
        for name, key in keys.items():
            measured = sorted(
                (probe for probe in probes if probe.variant == name), key=lambda probe: probe.rate_per_s
            )
            _draw_probes(axes, measured, key, 0.97 * top_ms)
            capacity = report.capacities.get(name)
            if capacity is not None and capacity.rate_per_s is not None:
                axes.axvline(capacity.rate_per_s, linewidth=1.4, ymax=0.9, **key.line)
        axes.set_ylim(0, top_ms)
        axes.set_xlim(0, 1.1 * max(probe.rate_per_s for probe in probes))
        axes.set(xlabel="requests per second", ylabel="p99 latency, ms")
        mark_limit(axes, limit_ms)

    description = "; ".join(
        f"{name}: "
        + ("none was found" if capacity.rate_per_s is None else f"{capacity.rate_per_s:.4g} per second")
        for name, capacity in report.capacities.items()
    )
    caption = (
        "Every rate tried. A dot passed, a cross failed, a ring is undecided; the vertical "
        "line is the capacity. A number beside a mark at the upper edge is a p99 in ms that is too "
        "high to show."
    )
    drawn = {probe.variant for probe in probes}
    return Picture(
        svg=draw(f"Throughput against latency. Capacity of {description}", [drawer]),
        keys=tuple(key for name, key in keys.items() if name in drawn),
        caption=caption,
    )


def _draw_probes(axes: Axes, probes: list[Probe], key: Key, edge_ms: float) -> None:
    rates = [probe.rate_per_s for probe in probes]
    axes.plot(rates, [probe.p99_ms or 0 for probe in probes], linewidth=0.9, alpha=0.45, **key.line)
    for probe in probes:
        value = probe.p99_ms or 0
        looks: dict[CheckOutcome, dict[str, Any]] = {
            CheckOutcome.PASS: {"marker": "o", "color": key.colour},
            CheckOutcome.FAIL: {"marker": "x", "color": key.colour, "linewidth": 2},
            CheckOutcome.INVALID: {"marker": "o", "facecolor": "none", "edgecolor": key.colour},
        }
        axes.scatter(
            probe.rate_per_s, min(value, edge_ms), s=45, zorder=3, clip_on=False, **looks[probe.outcome]
        )
        if value > edge_ms:
            axes.annotate(
                f"{value:,.0f}",
                (probe.rate_per_s, edge_ms),
                xytext=(6, -3),
                textcoords="offset points",
                fontsize=8,
            )
