"""Tables of the results that a test decides on: capacity, and whether a candidate is worse."""

from loadtests.candidate_comparison import CandidateComparison
from loadtests.judging.ratios import RATIO_CONFIDENCE
from loadtests.load_verdict import CheckOutcome
from loadtests.render.format import (
    interval,
    judge_ratio,
    judge_weighed,
    ms,
    odds,
    percent,
    server_s,
    value_ms,
)
from loadtests.render.grid import Grid
from loadtests.report import LoadReport


def list_capacities(report: LoadReport) -> Grid:
    """Make a row for each variant whose capacity was searched."""
    first = next((capacity.rate_per_s for capacity in report.capacities.values()), None)
    rows = []
    for name, capacity in report.capacities.items():
        rate = capacity.rate_per_s
        rows.append(
            (
                name,
                _rate(rate),
                f"{rate / first:.2f}x" if rate is not None and first else "-",
                f"{capacity.confirmed} of {capacity.confirmations}",
                _rate(capacity.infeasible_per_s),
                capacity.boundary or "-",
                f"{server_s(capacity.cost):.2f}" if capacity.cost else "-",
                capacity.first_breach or "-",
            )
        )
    head = (
        "variant",
        "requests/s",
        "ratio",
        "confirmed",
        "fails at",
        "boundary",
        "CPU ms/request",
        "because",
    )
    return Grid(
        title="The highest rate that keeps the limits",
        head=head,
        worded=frozenset({"because"}),
        rows=tuple(rows),
        note="Confirmed: runs with fresh seeds that kept the limits. Cliff: just above, requests pile up; "
        "smooth: the "
        "limit is crossed gradually.",
    )


def list_probes(report: LoadReport) -> Grid:
    """Make a row for each tried rate, in order of time."""
    rows = tuple(
        (
            probe.variant,
            _rate(probe.rate_per_s),
            probe.stage,
            "UNDECIDED" if probe.outcome is CheckOutcome.INVALID else probe.outcome.value,
            f"{probe.requests:,}",
            f"{probe.errors:,}",
            percent(probe.over_limit.value),
            _shares(probe.over_limit.low, probe.over_limit.high),
            percent(probe.completed),
            ms(probe.p50_ms),
            ms(probe.p99_ms),
            f"{probe.duration_s:.0f}",
            str(probe.seed),
            probe.reason,
        )
        for probe in report.probes
    )
    head = (
        "variant",
        "requests/s",
        "stage",
        "outcome",
        "requests",
        "errors",
        "over limit",
        "interval",
        "completed",
    )
    return Grid(
        title="Rates tried",
        head=(*head, "p50 ms", "p99 ms", "s", "seed", "because"),
        worded=frozenset({"because"}),
        rows=rows,
        note="Each probe ran until the confidence sequence of the share over the limit decided, or time "
        "was up.",
    )


def _shares(low: float | None, high: float | None) -> str:
    return f"[{', '.join('?' if end is None else percent(end) for end in (low, high))}]"


def compare_latency(report: LoadReport, comparison: CandidateComparison) -> Grid:
    """Show the candidate's latencies beside the baseline's."""
    baseline, candidate = comparison.baseline, comparison.candidate
    rows = tuple(
        (
            f"{ratio.figure} ms",
            latency_of(report, baseline, ratio.figure),
            latency_of(report, candidate, ratio.figure),
            f"{ratio.value:.3f}",
            interval(ratio.low, ratio.high, ".3f"),
            judge_ratio(ratio),
        )
        for ratio in comparison.ratios
    )
    return Grid(
        title=f"Is {candidate} as fast as {baseline}?",
        head=(
            "latency",
            baseline,
            candidate,
            "ratio",
            f"{percent(RATIO_CONFIDENCE)} interval",
            f"{candidate} is",
        ),
        worded=frozenset({f"{candidate} is"}),
        rows=rows,
        note=f"The ratio is {candidate} over {baseline}; below 1 means faster.",
    )


def latency_of(report: LoadReport, variant: str, figure: str) -> str:
    """Return one latency of one variant in ms, or "-"."""
    variant_report = report.variants.get(variant)
    if variant_report is None:
        return "-"
    if figure == "mean":
        return ms(variant_report.mean_ms)
    return value_ms(
        {"p50": variant_report.p50_ms, "p95": variant_report.p95_ms, "p99": variant_report.p99_ms}[figure]
    )


def compare_rates(comparison: CandidateComparison) -> Grid:
    """Compare how often requests failed or were slow, with the odds of the sequential test."""
    rows = tuple(
        (
            weighed.figure,
            weighed.seen,
            "-" if weighed.value is None else f"{weighed.value:.3g}",
            interval(weighed.low, weighed.high, ".3g"),
            odds(weighed.harm, weighed.harm_at),
            odds(weighed.safe, weighed.safe_at),
            judge_weighed(weighed),
        )
        for weighed in comparison.weighed
    )
    return Grid(
        title=f"Does {comparison.candidate} fail or miss the limit more often?",
        head=("what", "seen", "ratio", "interval", "odds of harm", "odds of no harm", "so"),
        worded=frozenset({"seen", "so"}),
        rows=rows,
        note="Odds: reached, of the odds that the rollout's test needs. ? means unbounded.",
    )


def _rate(rate_per_s: float | None) -> str:
    return "-" if rate_per_s is None else f"{rate_per_s:.4g}"
