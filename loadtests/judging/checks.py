"""Guards: whether what was measured is good, and the verdict on all of it."""

from collections.abc import Sequence

from loadtests.judging.confidence import bound_rate
from loadtests.judging.limits import Limits
from loadtests.judging.validity import STOLEN, is_stolen
from loadtests.report import Check, CheckOutcome, Interval, LoadVerdict, Ratio, VariantReport, WeighedEvents

# How often a bound may be wrong.
ALPHA = 0.05
# p99: one request in a hundred may be over the limit.
OVER_LIMIT = 0.01
# Below this share of the arrivals answered while they came, answers pile up.
COMPLETED = 0.98


def guard_errors(name: str, report: VariantReport, limits: Limits) -> Check:
    """The rate of failed requests."""
    rate = bound_rate(report.errors, report.requests, ALPHA)
    seen = f"{report.errors:,} of {report.requests:,} failed"
    return _guard_rate(f"errors of {name}", seen, rate, limits.errors, "failed")


def guard_latency(name: str, report: VariantReport, limits: Limits) -> Check:
    """The share of requests over the limit; one in a hundred may be, which is what p99 means."""
    assert limits.p99_ms is not None
    assert report.over_limit is not None
    rate = bound_rate(report.over_limit, report.requests, ALPHA)
    seen = f"{report.over_limit:,} of {report.requests:,} over {limits.p99_ms:g} ms"
    return _guard_rate(f"p99 of {name}", seen, rate, OVER_LIMIT, f"over {limits.p99_ms:g} ms")


def _guard_rate(name: str, seen: str, rate: Interval, allowed: float, what: str) -> Check:
    assert rate.low is not None
    assert rate.high is not None
    if rate.high <= allowed:
        outcome = CheckOutcome.PASS
    else:
        outcome = CheckOutcome.FAIL if rate.low > allowed else CheckOutcome.INVALID
    return Check(
        name=name,
        kind="guard",
        outcome=outcome,
        seen=f"{seen}: {rate.value:.2%} [{rate.low:.2%}, {rate.high:.2%}]",
        wanted=f"at most {allowed:.2%} {what}" + _more(outcome),
        used=rate.high / allowed,
    )


def guard_backlog(sent: int, unanswered: int, unanswered_at_half: int) -> Check:
    """Whether the answers keep up with the arrivals, by what is unanswered when the sending ends."""
    completed = 1 - unanswered / sent if sent else 0.0
    # A slow server has many in flight, too, but no more at the end than in the middle; where answers pile up
    # evenly there are twice as many.
    growing = unanswered > 1.5 * unanswered_at_half + 10
    good = sent > 0 and (completed >= COMPLETED or not growing)
    return Check(
        name="answers keep up",
        kind="guard",
        outcome=CheckOutcome.PASS if good else CheckOutcome.FAIL,
        seen=f"{completed:.1%} of the arrivals were answered while they came",
        wanted=f"at least {COMPLETED:.0%}, or no more in flight at the end than in the middle",
        used=None,
    )


def excuse(check: Check, steal: float | None) -> Check:
    """The same, but undecided where a limit of time was missed while others had the machine's CPU."""
    if check.outcome is not CheckOutcome.FAIL or not is_stolen(steal):
        return check
    wanted = (
        f"{check.wanted}; undecided: others took {steal:.0%} of this machine's CPU, and with more than "
        f"{STOLEN:.0%} a miss proves nothing: use a quieter machine"
    )
    return check.model_copy(update={"outcome": CheckOutcome.INVALID, "wanted": wanted})


def guard_ratio(candidate: str, ratio: Ratio, limits: Limits) -> Check:
    """The candidate's median over the baseline's: good where it is shown to be slower by no more than is
    allowed, bad where it is shown to be slower at all, and else undecided."""
    allowed = 1 + limits.slower_by
    bad = CheckOutcome.FAIL if ratio.low > 1 else CheckOutcome.INVALID
    outcome = CheckOutcome.PASS if ratio.high <= allowed else bad
    return Check(
        name=f"median of {candidate}",
        kind="guard",
        outcome=outcome,
        seen=f"{ratio.value:.3f} times the baseline's [{ratio.low:.3f}, {ratio.high:.3f}]",
        wanted=f"at most {allowed:.3g} times" + _more(outcome),
        used=ratio.high / allowed,
    )


def guard_weighed(candidate: str, weighed: WeighedEvents) -> Check:
    """What the rollout's own test says: harm is bad, proven safety is good, and else it is undecided."""
    if weighed.harm >= weighed.harm_at:
        outcome = CheckOutcome.FAIL
    else:
        outcome = CheckOutcome.PASS if weighed.safe >= weighed.safe_at else CheckOutcome.INVALID
    return Check(
        name=f"{weighed.figure} of {candidate} against the baseline",
        kind="guard",
        outcome=outcome,
        seen=weighed.seen,
        wanted="shown to be no more than the rollout's guard allows" + _more(outcome),
        used=None,
    )


def decide(checks: Sequence[Check]) -> LoadVerdict:
    """INVALID when a gate says so; else FAIL, or undecided, which is INVALID too, when a guard does. A caveat
    is told, and decides nothing."""
    bad = [check for check in checks if check.outcome is not CheckOutcome.PASS and check.kind != "caveat"]
    # Gates first, then what is bad, then what is undecided.
    bad.sort(key=lambda check: (check.kind != "gate", check.outcome is not CheckOutcome.FAIL))
    if bad:
        reasons = tuple(f"{check.name}: {check.seen}; wanted: {check.wanted}" for check in bad)
        return LoadVerdict(outcome=bad[0].outcome, reasons=reasons, binding=bad[0].name)
    degrees = [check for check in checks if check.kind == "guard" and check.used is not None]
    closest = max(degrees, key=lambda check: check.used or 0.0, default=None)
    return LoadVerdict(outcome=CheckOutcome.PASS, reasons=(), binding=closest.name if closest else None)


def _more(outcome: CheckOutcome) -> str:
    return "; undecided: run longer" if outcome is CheckOutcome.INVALID else ""
