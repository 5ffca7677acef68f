"""Tables of the measurements: latency, cost, drift, windows."""

import statistics
from collections.abc import Callable, Sequence

from loadtests.judging.aggregation import LATENCY_CONFIDENCE
from loadtests.load_timeline import LoadTimeline, VariantTimeline
from loadtests.render.format import find_costs, interval, is_thin, ms, percent, server_s, value_ms
from loadtests.render.grid import Grid
from loadtests.report import LoadReport
from loadtests.variant_report import VariantReport


def list_variants(report: LoadReport) -> Grid:
    """Make a row for each variant."""
    limit = report.limits.p99_ms
    head = [
        "variant",
        "requests",
        "errors",
        "share %",
        "mean ms",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        f"{percent(LATENCY_CONFIDENCE)} interval",
    ]
    head += [f"over {limit:g} ms"] if limit is not None else []
    rows = []
    for name, variant in report.variants.items():
        row = _describe(name, variant)
        if limit is not None:
            row.append("-" if variant.over_limit is None else f"{variant.over_limit:,}")
        rows.append(tuple(row))
    note = "Latency is measured from the scheduled start of a request; the interval belongs to the p99."
    return Grid(title="Latency of each variant", head=tuple(head), rows=tuple(rows), note=note)


def _describe(name: str, variant: VariantReport) -> list[str]:
    p99 = variant.p99_ms
    return [
        name,
        f"{variant.requests:,}",
        f"{variant.errors:,}",
        f"{variant.share_served * 100:.1f}",
        ms(variant.mean_ms),
        value_ms(variant.p50_ms),
        value_ms(variant.p95_ms),
        ("~" if p99 is not None and is_thin(variant) else "") + value_ms(p99),
        "-" if p99 is None else interval(p99.low, p99.high),
    ]


def list_drift(report: LoadReport) -> Grid:
    """Show the first third of a soak beside the last."""
    title, head = "Does it change with time?", ("what", "first third", "last third", "change")
    line = report.timeline
    if report.kind != "soak" or line is None or len(line.at_s) < 3:
        return Grid(title=title, head=head, rows=())
    rows = [
        _drift(f"{name} {figure} ms", values, ms)
        for name, curve in line.variants.items()
        for figure, values in (("p50", curve.p50_ms), ("p99", curve.p99_ms))
    ]
    if line.memory_bytes:
        rows.append(_drift("memory MiB", line.memory_bytes, _mebibytes))
    return Grid(
        title=title, head=head, rows=tuple(rows), note="Medians over the windows of each third of the run."
    )


def _drift(name: str, values: Sequence[float | None], say: Callable[[float | None], str]) -> tuple[str, ...]:
    third = len(values) // 3
    first, last = _median(values[:third]), _median(values[-third:])
    change = "-" if not first or last is None else f"{(last / first - 1) * 100:+.1f} %"
    return name, say(first), say(last), change


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _mebibytes(value: float | None) -> str:
    return "-" if value is None else f"{value / 2**20:,.0f}"


def list_costs(report: LoadReport) -> Grid:
    """Show where the CPU time of each variant's requests was spent."""
    costs = find_costs(report)
    priced = any(cost.price_per_million is not None for cost in costs.values())
    head = ["variant", "model", "gateway", "proxy", "server in all", "load generator"]
    head += [f"{report.limits.currency} a million"] if priced else []
    rows = []
    for name, cost in costs.items():
        parts = (cost.model_s, cost.gateway_s, cost.proxy_s, server_s(cost), cost.client_s)
        row = [name, *(f"{part:.3f}" for part in parts)]
        if priced:
            row.append("-" if cost.price_per_million is None else f"{cost.price_per_million:,.3f}")
        rows.append(tuple(row))
    return Grid(
        title="What a request costs",
        head=tuple(head),
        rows=tuple(rows),
        note="CPU ms per request (= CPU s per 1,000 requests). The price excludes the load generator.",
    )


def list_windows(line: LoadTimeline) -> Grid:
    """Show the values behind the timeline: a row for each window and variant."""
    rows = [
        (f"{at_s:.0f}", name, *_window(curve, window), f"{line.in_flight[window]:,}")
        for window, at_s in enumerate(line.at_s)
        for name, curve in line.variants.items()
    ]
    head = ("until s", "variant", "requests", "errors", "p50 ms", "p99 ms", "in flight")
    return Grid(title="Every window", head=head, rows=tuple(rows))


def _window(curve: VariantTimeline, window: int) -> tuple[str, ...]:
    requests, errors = curve.requests[window], curve.errors[window]
    return f"{requests:,}", f"{errors:,}", ms(curve.p50_ms[window]), ms(curve.p99_ms[window])
