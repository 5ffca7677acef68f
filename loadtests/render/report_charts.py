"""Draws charts of the tail of the latency, of ratios with their intervals, and of the cost of a request."""

from collections.abc import Mapping

from matplotlib.axes import Axes

from loadtests.judging.aggregation import LATENCY_CONFIDENCE
from loadtests.judging.ratios import RATIO_CONFIDENCE
from loadtests.render.format import find_costs, interval, judge_ratio, ms, percent, server_s
from loadtests.render.svg import COLOURS, INK, Key, Picture, draw, mark_limit
from loadtests.report import LoadReport
from loadtests.variant_report import VariantReport

_MARKS = {1: "0 %", 2: "50 %", 10: "90 %", 100: "99 %", 1000: "99.9 %", 10_000: "99.99 %"}
_PARTS = (
    Key(name="model", colour=COLOURS[0]),
    Key(name="gateway", colour=COLOURS[1]),
    Key(name="proxy", colour=COLOURS[2]),
)
# Maximum length of a name beside a bar; the table has the full name.
_LONGEST = 16
# If the tail exceeds this multiple of the median, a linear axis would hide the rest.
_LONG_TAIL = 20


def draw_tail(report: LoadReport, keys: Mapping[str, Key]) -> Picture | None:
    """Draw latency over the share of requests that were as fast; None if there are no answers."""
    drawn = {name: variant for name, variant in report.variants.items() if variant.curve}
    if not drawn:
        return None
    values = [value for variant in drawn.values() for _, value in variant.curve]
    medians = [variant.p50_ms.value for variant in drawn.values() if variant.p50_ms is not None]
    long = bool(medians) and max(values) > _LONG_TAIL * min(medians)

    def drawer(axes: Axes) -> None:
        for name, variant in drawn.items():
            _draw_curve(axes, variant, keys[name])
        axes.set_xscale("log")
        reach = axes.get_xlim()[1]
        marks = {at: mark for at, mark in _MARKS.items() if at <= reach}
        axes.set_xticks(list(marks), list(marks.values()))
        axes.minorticks_off()
        if long:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
        else:
            axes.set_ylim(0, 1.1 * (max([*values, report.limits.p99_ms or 0]) or 1))
        axes.set(xlabel="share of requests that were at least as fast", ylabel="latency, ms")
        mark_limit(axes, report.limits.p99_ms)

    description = "; ".join(f"{name}: {_say(variant)}" for name, variant in drawn.items())
    caption = (
        "Latency from the scheduled start of a request. Each mark on the lower axis is about ten times "
        "rarer than the previous one, which shows the slowest requests; the bar at 99 % is the "
        f"{percent(LATENCY_CONFIDENCE)} interval."
    )
    if report.limits.p99_ms is not None:
        caption += " At 99 %, a line must be below the limit."
    if long:
        caption += " Because of the long tail, the vertical axis is logarithmic and does not begin at 0."
    svg = draw(f"Latency by percentile. {description}", [drawer])
    return Picture(svg=svg, keys=tuple(keys[name] for name in drawn), caption=caption)


def _say(variant: VariantReport) -> str:
    quantiles = (("p50", variant.p50_ms), ("p95", variant.p95_ms), ("p99", variant.p99_ms))
    return ", ".join(f"{name} {ms(item.value)} ms" for name, item in quantiles if item is not None)


def _draw_curve(axes: Axes, variant: VariantReport, key: Key) -> None:
    points = [(1 / (1 - quantile), value) for quantile, value in variant.curve if quantile < 1]
    axes.plot([tail for tail, _ in points], [value for _, value in points], linewidth=1.8, **key.line)
    p99 = variant.p99_ms
    if p99 is not None and p99.low is not None and p99.high is not None:
        ends = [[max(0, p99.value - p99.low)], [max(0, p99.high - p99.value)]]
        axes.errorbar(100, p99.value, yerr=ends, color=key.colour, marker="o", markersize=4, capsize=3)


def draw_ratios(report: LoadReport, keys: Mapping[str, Key]) -> Picture | None:
    """Draw each latency of a candidate relative to the baseline's, with its interval; None without a
    comparison."""
    rows = [(comparison, ratio) for comparison in report.comparisons for ratio in comparison.ratios]
    if not rows:
        return None
    places = list(range(len(rows), 0, -1))

    def drawer(axes: Axes) -> None:
        for place, (comparison, ratio) in zip(places, rows, strict=True):
            ends = [[max(0, ratio.value - ratio.low)], [max(0, ratio.high - ratio.value)]]
            colour = keys[comparison.candidate].colour
            axes.errorbar(ratio.value, place, xerr=ends, color=colour, marker="o", capsize=4, linewidth=1.8)
        axes.axvline(1, color=INK, linewidth=1)
        # The axis needs some width even if nothing differs.
        reach = 1.15 * max(0.01, *(max(abs(ratio.low - 1), abs(ratio.high - 1)) for _, ratio in rows))
        axes.set_xlim(1 - reach, 1 + reach)
        axes.set_ylim(0.3, len(rows) + 0.9)
        axes.set_yticks(places, [ratio.figure for _, ratio in rows])
        axes.set(xlabel="faster than the baseline  <  1  >  slower: ratio of latencies")
        axes.grid(visible=False, axis="y")

    description = "; ".join(
        f"{comparison.candidate} {ratio.figure} {ratio.value:.3f} "
        f"{interval(ratio.low, ratio.high, '.3f')}, {judge_ratio(ratio)}"
        for comparison, ratio in rows
    )
    return Picture(
        svg=draw(f"Ratio of latencies. {description}", [drawer], height=1.2 + 0.4 * len(rows)),
        keys=tuple(keys[comparison.candidate] for comparison in report.comparisons),
        caption=f"Latency over the baseline's, with {percent(RATIO_CONFIDENCE)} intervals. One that touches "
        "the line at 1 shows no difference.",
    )


def draw_costs(report: LoadReport) -> Picture | None:
    """Draw where the server's CPU time for a request is spent, one bar per variant; None if it is not
    known."""
    costs = find_costs(report)
    if not costs:
        return None
    places = list(range(len(costs), 0, -1))

    def drawer(axes: Axes) -> None:
        for place, cost in zip(places, costs.values(), strict=True):
            left = 0.0
            for key, part in zip(_PARTS, (cost.model_s, cost.gateway_s, cost.proxy_s), strict=True):
                axes.barh(place, part, left=left, color=key.colour, height=0.6)
                left += part
            axes.annotate(f"{left:.2f}", (left, place), xytext=(4, -3), textcoords="offset points")
        axes.set_xlim(0, 1.15 * (max(server_s(cost) for cost in costs.values()) or 1))
        axes.set_ylim(0.4, len(costs) + 0.6)
        axes.set_yticks(places, [name[:_LONGEST] for name in costs])
        axes.grid(visible=False, axis="y")
        axes.set(xlabel="CPU ms of the server for a request")

    description = "; ".join(f"{name} {server_s(cost):.2f} ms" for name, cost in costs.items())
    return Picture(
        svg=draw(f"CPU time for a request. {description}", [drawer], height=1.1 + 0.5 * len(costs)),
        keys=_PARTS,
        caption="CPU time that the server spends on a request. A lighter variant reduces the model's part; "
        "the rest "
        "is overhead around the model.",
    )
