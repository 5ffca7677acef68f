"""States the main results of a test in sentences."""

from loadtests.candidate_comparison import CandidateComparison
from loadtests.render.format import (
    find_costs,
    interval,
    is_thin,
    judge_ratio,
    judge_weighed,
    ms,
    percent,
    server_s,
)
from loadtests.report import LoadReport
from loadtests.variant_report import VariantReport


def list_findings(report: LoadReport) -> list[str]:
    """List the results, the decisive ones first, with their intervals."""
    findings = _say_capacities(report)
    for comparison in report.comparisons:
        findings += _say_comparison(comparison)
    if report.kind in ("run", "soak"):
        findings += [_say_latency(name, variant) for name, variant in report.variants.items()]
    return findings + _say_costs(report)


def _say_capacities(report: LoadReport) -> list[str]:
    rates = {name: capacity.rate_per_s for name, capacity in report.capacities.items()}
    first = next(iter(rates), "")
    base = rates.get(first)
    sentences = []
    for name, capacity in report.capacities.items():
        if capacity.rate_per_s is None:
            sentences.append(f"{name}: none of the rates tried keeps the limits.")
            continue
        sentence = f"{name} sustains {capacity.rate_per_s:.4g} requests per second within the limits"
        if name != first and base:
            sentence += f", {capacity.rate_per_s / base:.2f} times as many as {first}"
        if capacity.first_breach is not None and capacity.infeasible_per_s is not None:
            sentence += f"; at {capacity.infeasible_per_s:.4g} it fails: {capacity.first_breach}"
        sentences.append(f"{sentence}.")
    return sentences


def _say_comparison(comparison: CandidateComparison) -> list[str]:
    baseline, candidate = comparison.baseline, comparison.candidate
    sentences = []
    for ratio in comparison.ratios:
        if ratio.figure not in ("p50", "p99"):
            continue
        change = interval((ratio.low - 1) * 100, (ratio.high - 1) * 100, "+.1f")
        shown = judge_ratio(ratio)
        verb = f"is {shown} than {baseline}" if shown in ("faster", "slower") else "shows no difference"
        sentences.append(
            f"At the {ratio.figure} {candidate} {verb}: latency {(ratio.value - 1) * 100:+.1f} % {change}."
        )
    sentences += [
        f"{candidate} is shown to be worse: {weighed.figure}: {weighed.seen}."
        for weighed in comparison.weighed
        if judge_weighed(weighed) == "harm shown"
    ]
    return sentences


def _say_latency(name: str, variant: VariantReport) -> str:
    failed = f"{variant.errors:,} of {variant.requests:,} requests failed"
    if variant.p50_ms is None or variant.p99_ms is None:
        return f"{name}: no latency was measured; {failed}."
    p99 = variant.p99_ms
    about = "about " if is_thin(variant) else ""
    slow = f"99 of 100 requests took at most {about}{ms(p99.value)} ms {interval(p99.low, p99.high)}"
    return f"{name}: half of the requests took at most {ms(variant.p50_ms.value)} ms, {slow}; {failed}."


def _say_costs(report: LoadReport) -> list[str]:
    costs = {name: server_s(cost) for name, cost in find_costs(report).items()}
    if len(costs) < 2:
        return []
    (first, base), *others = costs.items()
    return [
        f"A request to {name} costs the server {cost:.2f} ms of CPU, {percent(abs(cost / base - 1))} "
        f"{'less' if cost < base else 'more'} than one to {first}."
        for name, cost in others
        if base
    ]
