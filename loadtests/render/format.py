"""Formats the values and facts of a report, in the same way for every output."""

import math
import shlex
from collections.abc import Mapping
from typing import Any, TypeVar

from loadtests.candidate_comparison import Ratio, WeighedEvents
from loadtests.judging.contention import describe_contention, is_contended
from loadtests.load_verdict import Check, CheckOutcome
from loadtests.report import Environment, LoadReport
from loadtests.variant_report import Interval, RequestCost, VariantReport
from serve.base.record import Record

R = TypeVar("R", bound=Record)

# The p99 of fewer answers rests on fewer than ten slow requests.
SAMPLES_FOR_P99 = 1000
# Number of different causes of errors shown; the JSON has all of them.
_MOST_CAUSES = 10
# Number of points of a profile shown; the JSON has all of them.
_MOST_POINTS = 8
# Length of a cause; longer text comes from a server and is cut.
_MOST_CHARACTERS = 400


def make_plain(report: R) -> R:
    """Return the record with control characters escaped.

    Some of its text comes from servers, and such characters could steer a terminal or break a file."""
    return type(report).model_validate(_plain(report.model_dump()))


def _plain(value: Any) -> Any:
    if type(value) is str:
        return "".join(
            letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in value
        )
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    return value


def describe_load(report: LoadReport) -> str:
    """Describe the load, such as `100/s for 60 s`."""
    plan = report.plan
    rates = [rate for _, rate in plan.profile]
    if report.kind == "capacity":
        return f"from {rates[0]:g}/s on, a probe at most {plan.duration_s:g} s"
    if min(rates) == max(rates):
        return f"{rates[0]:g}/s for {plan.duration_s:g} s"
    points = ", ".join(f"{rate:g}/s at {second:g} s" for second, rate in plan.profile[:_MOST_POINTS])
    more = ", ..." if len(plan.profile) > _MOST_POINTS else ""
    return f"{plan.rate_per_s:.4g}/s on average for {plan.duration_s:g} s ({points}{more})"


def describe_sender(report: LoadReport) -> str:
    """Describe whether the load generator was on schedule."""
    sender, steal = report.sender, report.environment.steal
    late = ", ".join(
        f"{name} {ms(value)} ms"
        for name, value in (
            ("p50", sender.lateness_p50_ms),
            ("p99", sender.lateness_p99_ms),
            ("max", sender.lateness_max_ms),
        )
    )
    full = f", had to wait for room {sender.pool_full:,} times" if sender.pool_full else ""
    stolen = "" if steal is None else f"; {percent(steal)} of the machine's CPU time went to other guests"
    return (
        f"lateness {late}; {percent(sender.cpu_share)} of one core; at most {sender.in_flight:,} in "
        f"flight{full}{stolen}{_say_contention(report.environment)}"
    )


def _say_contention(environment: Environment) -> str:
    contention, cores = environment.contention, environment.cores
    return (
        f"; {describe_contention(contention, cores)}"
        if contention and is_contended(contention, cores)
        else ""
    )


def say_why(report: LoadReport) -> str:
    """Return the reason for the verdict in one line: the first reason, or the check closest to its limit."""
    verdict = report.verdict
    if verdict.reasons:
        more = f" (and {len(verdict.reasons) - 1} more)" if len(verdict.reasons) > 1 else ""
        return verdict.reasons[0] + more
    nearest = find_binding(report)
    if nearest is None:
        count = len(report.checks)
        return {0: "there were no checks", 1: "the only check held"}.get(count, f"all {count} checks held")
    used = "" if nearest.used is None else f", {percent(nearest.used)} used"
    return f"closest to its limit: {nearest.name}{used}: {nearest.seen}; wanted: {nearest.wanted}"


def find_binding(report: LoadReport) -> Check | None:
    """Return the check that decided, or None."""
    return next((check for check in report.checks if check.name == report.verdict.binding), None)


def find_missed(report: LoadReport) -> list[Check]:
    """Return the checks that did not pass."""
    return [check for check in report.checks if check.outcome is not CheckOutcome.PASS]


def list_causes(report: LoadReport) -> list[tuple[int, str]]:
    """List the causes of errors with their counts, the most frequent first; rare causes are merged."""
    causes = sorted(report.errors_by_cause.items(), key=lambda item: -item[1])
    lines = [
        (count, cause if len(cause) <= _MOST_CHARACTERS else f"{cause[:_MOST_CHARACTERS]}...")
        for cause, count in causes[:_MOST_CAUSES]
    ]
    rest = [count for _, count in causes[_MOST_CAUSES:]]
    return [*lines, (sum(rest), f"{len(rest)} other causes (see the JSON)")] if rest else lines


def find_costs(report: LoadReport) -> dict[str, RequestCost]:
    """Return the cost of each variant that has one."""
    measured = [
        (name, item.cost) for items in (report.variants, report.capacities) for name, item in items.items()
    ]
    return {name: cost for name, cost in measured if cost is not None}


def server_s(cost: RequestCost) -> float:
    """Return the server's CPU seconds for 1,000 requests, which equal CPU ms per request."""
    return cost.model_s + cost.gateway_s + cost.proxy_s


def is_thin(variant: VariantReport) -> bool:
    """Return whether the variant's p99 rests on too few answers."""
    return 0 < variant.requests - variant.errors < SAMPLES_FOR_P99


def warn_thin(report: LoadReport) -> str | None:
    """Explain the ~ before a p99; None if there is none."""
    thin = [
        f"{name} ({variant.requests - variant.errors:,})"
        for name, variant in report.variants.items()
        if variant.p99_ms is not None and is_thin(variant)
    ]
    if not thin:
        return None
    few = f"the p99 of {', '.join(thin)} rests on fewer than {SAMPLES_FOR_P99:,} answers"
    fewest = min(item.requests - item.errors for item in report.variants.values() if is_thin(item))
    return f"{few}; run about {SAMPLES_FOR_P99 / fewest:.2g} times as long to trust it"


def judge_ratio(ratio: Ratio) -> str:
    """Say in words what the interval shows."""
    if ratio.high < 1:
        return "faster"
    return "slower" if ratio.low > 1 else "no difference shown"


def judge_weighed(weighed: WeighedEvents) -> str:
    """Say in words what the sequential test shows."""
    if weighed.harm >= weighed.harm_at:
        return "harm shown"
    return "shown safe" if weighed.safe >= weighed.safe_at else "not decided"


def odds(log_evidence: float, needed: float) -> str:
    """Format evidence as odds, with the odds that are needed."""
    return f"{_odds(log_evidence)} of {_odds(needed)}"


def _odds(log_evidence: float) -> str:
    return "over a million" if log_evidence > math.log(1e6) else f"{math.exp(log_evidence):.3g}"


def command_line(report: LoadReport) -> str:
    """Return the command that repeats the test; empty if it was not started from a command line."""
    return shlex.join(report.command)


def interval(low: float | None, high: float | None, digits: str = ".2f") -> str:
    """Format two bounds. ? marks a bound with too few samples; - means that both bounds lack samples."""
    if low is None and high is None:
        return "-"
    return f"[{', '.join('?' if end is None else format(end, digits) for end in (low, high))}]"


def ms(value: float | None) -> str:
    """Format milliseconds without the unit; - for None."""
    if value is None:
        return "-"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:,.1f}"


def value_ms(estimate: Interval | None) -> str:
    """Format the value of an estimate in ms; - for None."""
    return ms(None if estimate is None else estimate.value)


def percent(share: float) -> str:
    """Format a share as a percentage, with more digits if it is small."""
    value = share * 100
    if 0 < abs(value) < 0.1:
        return f"{value:.2g} %"
    return f"{value:.1f} %".replace(".0 %", " %") if abs(value) < 10 else f"{value:,.0f} %"
