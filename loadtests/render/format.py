"""Words: how figures and facts of a report are said, wherever they are shown."""

import math
import shlex
from collections.abc import Mapping
from typing import Any, TypeVar

from loadtests.judging.contention import is_contended, tell
from loadtests.report import (
    Check,
    CheckOutcome,
    Environment,
    Interval,
    LoadReport,
    Ratio,
    RequestCost,
    VariantReport,
    WeighedEvents,
)
from serve.base.record import Record

R = TypeVar("R", bound=Record)

# A p99 of fewer rests on less than ten slow requests.
SAMPLES_FOR_P99 = 1000
# How many different causes of errors are told; the JSON has all of them.
_MOST_CAUSES = 10
# Of a profile; the JSON has all of them.
_MOST_POINTS = 8
# Of one cause: longer text came from a server, and nobody reads it to its end.
_MOST_CHARACTERS = 400


def make_plain(report: R) -> R:
    """The same record without a character that could steer a terminal or break a file: servers chose some of
    its text. Such characters are shown as escapes."""
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
    """What was sent, such as `100/s for 60 s`."""
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
    """Whether the load generator kept its promise."""
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
    stolen = "" if steal is None else f"; {percent(steal)} of the machine's CPU time went to others"
    return (
        f"lateness {late}; {percent(sender.cpu_share)} of one core; "
        f"at most {sender.in_flight:,} in flight{full}{stolen}{_say_contention(report.environment)}"
    )


def _say_contention(environment: Environment) -> str:
    contention, cores = environment.contention, environment.cores
    return f"; {tell(contention, cores)}" if contention and is_contended(contention, cores) else ""


def say_why(report: LoadReport) -> str:
    """Why the verdict is what it is, in one line: the first reason, or what came closest to its limit."""
    verdict = report.verdict
    if verdict.reasons:
        more = f" (and {len(verdict.reasons) - 1} more)" if len(verdict.reasons) > 1 else ""
        return verdict.reasons[0] + more
    nearest = find_binding(report)
    if nearest is None:
        return "nothing was asked" if not report.checks else f"all {len(report.checks)} checks held"
    used = "" if nearest.used is None else f", {percent(nearest.used)} used"
    return f"closest to its limit: {nearest.name}{used}: {nearest.seen}; wanted: {nearest.wanted}"


def find_binding(report: LoadReport) -> Check | None:
    """The check that decided; None: none did."""
    return next((check for check in report.checks if check.name == report.verdict.binding), None)


def find_missed(report: LoadReport) -> list[Check]:
    """The checks that did not pass."""
    return [check for check in report.checks if check.outcome is not CheckOutcome.PASS]


def list_causes(report: LoadReport) -> list[tuple[int, str]]:
    """What went wrong how often, the most frequent first, the rare ones in one."""
    causes = sorted(report.errors_by_cause.items(), key=lambda item: -item[1])
    told = [
        (count, cause if len(cause) <= _MOST_CHARACTERS else f"{cause[:_MOST_CHARACTERS]}...")
        for cause, count in causes[:_MOST_CAUSES]
    ]
    rest = [count for _, count in causes[_MOST_CAUSES:]]
    return [*told, (sum(rest), f"{len(rest)} other causes, in the JSON")] if rest else told


def find_costs(report: LoadReport) -> dict[str, RequestCost]:
    """The cost of each variant that has one."""
    measured = [
        (name, item.cost) for items in (report.variants, report.capacities) for name, item in items.items()
    ]
    return {name: cost for name, cost in measured if cost is not None}


def server_s(cost: RequestCost) -> float:
    """CPU seconds of the server for 1,000 requests, which are CPU ms for one."""
    return cost.model_s + cost.gateway_s + cost.proxy_s


def is_thin(variant: VariantReport) -> bool:
    """Whether its p99 rests on too few answers."""
    return 0 < variant.requests - variant.errors < SAMPLES_FOR_P99


def warn_thin(report: LoadReport) -> str | None:
    """What the ~ before a p99 means; None: there is none."""
    thin = [
        f"{name} ({variant.requests - variant.errors:,})"
        for name, variant in report.variants.items()
        if variant.p99_ms is not None and is_thin(variant)
    ]
    if not thin:
        return None
    few = f"the p99 of {', '.join(thin)} rests on fewer than {SAMPLES_FOR_P99:,} answers"
    return f"{few}; run longer to trust it"


def judge_ratio(ratio: Ratio) -> str:
    """What the interval shows."""
    if ratio.high < 1:
        return "faster"
    return "slower" if ratio.low > 1 else "no difference shown"


def judge_weighed(weighed: WeighedEvents) -> str:
    """What the sequential test shows."""
    if weighed.harm >= weighed.harm_at:
        return "harm shown"
    return "shown safe" if weighed.safe >= weighed.safe_at else "not decided"


def odds(log_evidence: float, needed: float) -> str:
    """Evidence as odds, beside what it must reach."""
    return f"{_odds(log_evidence)} of {_odds(needed)}"


def _odds(log_evidence: float) -> str:
    return "over a million" if log_evidence > math.log(1e6) else f"{math.exp(log_evidence):.3g}"


def command_line(report: LoadReport) -> str:
    """What to type to run it again; empty: no command line did."""
    return shlex.join(report.command)


def interval(low: float | None, high: float | None, digits: str = ".2f") -> str:
    """Two bounds; ? where there were too few samples for one, - where there were for both."""
    if low is None and high is None:
        return "-"
    return f"[{', '.join('?' if end is None else format(end, digits) for end in (low, high))}]"


def ms(value: float | None) -> str:
    """Milliseconds without the unit; - for None."""
    if value is None:
        return "-"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:,.1f}"


def value_ms(estimate: Interval | None) -> str:
    """The value of an estimate in ms; - for None."""
    return ms(None if estimate is None else estimate.value)


def percent(share: float) -> str:
    """A share in per cent, with more digits where it is small."""
    value = share * 100
    if 0 < abs(value) < 0.1:
        return f"{value:.2g} %"
    return f"{value:.1f} %".replace(".0 %", " %") if abs(value) < 10 else f"{value:,.0f} %"
