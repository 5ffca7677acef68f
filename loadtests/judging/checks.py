"""Guards check the measured values against the limits; `decide` makes the verdict from all checks."""

from collections.abc import Sequence

from loadtests.candidate_comparison import Ratio, WeighedEvents
from loadtests.judging.confidence import bound_rate
from loadtests.judging.limits import Limits
from loadtests.judging.run_length import say_longer, times_for_evidence, times_for_interval, times_for_rate
from loadtests.judging.validity import STOLEN, is_stolen
from loadtests.load_verdict import Check, CheckOutcome, LoadVerdict
from loadtests.variant_report import Interval, VariantReport

# The probability that a bound is wrong.
ALPHA = 0.05
# For p99, one request in a hundred may be over the limit.
OVER_LIMIT = 0.01
# If a smaller share of the arrivals is answered while they are sent, unanswered requests pile up.
COMPLETED = 0.98


def guard_errors(name: str, report: VariantReport, limits: Limits) -> Check:
    """Check the rate of failed requests."""
    return _guard_rate(f"errors of {name}", (report.errors, report.requests), limits.errors, "failed")


def guard_latency(name: str, report: VariantReport, limits: Limits) -> Check:
    """Check the share of requests over the limit. The p99 allows one in a hundred."""
    assert limits.p99_ms is not None
    assert report.over_limit is not None
    over = f"over {limits.p99_ms:g} ms"
    return _guard_rate(f"p99 of {name}", (report.over_limit, report.requests), OVER_LIMIT, over)


def _guard_rate(name: str, counts: tuple[int, int], allowed: float, what: str) -> Check:
    """Check a rate of events in requests."""
    rate = bound_rate(*counts, ALPHA)
    assert rate.low is not None
    assert rate.high is not None
    more = ""
    if rate.high <= allowed:
        outcome = CheckOutcome.PASS
    elif rate.low > allowed:
        outcome = CheckOutcome.FAIL
    else:
        outcome = CheckOutcome.INVALID
        more = f"; undecided: {say_longer(times_for_rate(*counts, allowed, ALPHA))}"
    return Check(
        name=name,
        kind="guard",
        outcome=outcome,
        seen=f"{counts[0]:,} of {counts[1]:,} {what}: {rate.value:.2%} [{rate.low:.2%}, {rate.high:.2%}]",
        wanted=f"at most {allowed:.2%} {what}{more}",
        used=rate.high / allowed,
    )


def guard_backlog(sent: int, unanswered: int, unanswered_at_half: int) -> Check:
    """Check whether answers keep up with arrivals, by the number of unanswered requests when sending ends."""
    completed = 1 - unanswered / sent if sent else 0.0
    # A slow server also has many requests in flight, but no more at the end than in the middle. If they pile
    # up at a steady pace, there are twice as many at the end.
    growing = unanswered > 1.5 * unanswered_at_half + 10
    good = sent > 0 and (completed >= COMPLETED or not growing)
    return Check(
        name="answers keep up",
        kind="guard",
        outcome=CheckOutcome.PASS if good else CheckOutcome.FAIL,
        seen=f"{completed:.1%} of the arrivals were answered before sending ended",
        wanted=f"at least {COMPLETED:.0%}, or no more in flight at the end than in the middle",
        used=None,
    )


def excuse(check: Check, steal: float | None) -> Check:
    """Return the check, made undecided if it is a missed limit on time and other guests used the CPU."""
    if check.outcome is not CheckOutcome.FAIL or not is_stolen(steal):
        return check
    requirement = (
        f"{check.wanted}; undecided: other guests took {steal:.0%} of this machine's CPU time, and above "
        f"{STOLEN:.0%} a miss proves nothing: use a quieter machine"
    )
    return check.model_copy(update={"outcome": CheckOutcome.INVALID, "wanted": requirement})


def guard_ratio(candidate: str, ratio: Ratio, limits: Limits) -> Check:
    """Check the ratio of the candidate's median to the baseline's.

    It passes if the slowdown is shown to be within the limit, fails if the slowdown is shown and exceeds it,
    and is undecided otherwise."""
    allowed = 1 + limits.slower_by
    bad = CheckOutcome.FAIL if ratio.low > 1 else CheckOutcome.INVALID
    times = times_for_interval(Interval(value=ratio.value, low=ratio.low, high=ratio.high), allowed, 1.0)
    outcome = CheckOutcome.PASS if ratio.high <= allowed else bad
    return Check(
        name=f"median of {candidate}",
        kind="guard",
        outcome=outcome,
        seen=f"{ratio.value:.3f} times the baseline's [{ratio.low:.3f}, {ratio.high:.3f}]",
        wanted=f"at most {allowed:.3g} times" + _more(outcome, times),
        used=ratio.high / allowed,
    )


def guard_weighed(candidate: str, weighed: WeighedEvents) -> Check:
    """Turn the result of the rollout's test into a check: harm fails, proven safety passes, anything else is
    undecided."""
    if weighed.harm >= weighed.harm_at:
        outcome = CheckOutcome.FAIL
    else:
        outcome = CheckOutcome.PASS if weighed.safe >= weighed.safe_at else CheckOutcome.INVALID
    times = times_for_evidence((weighed.harm, weighed.harm_at), (weighed.safe, weighed.safe_at))
    return Check(
        name=f"{weighed.figure} of {candidate} against the baseline",
        kind="guard",
        outcome=outcome,
        seen=weighed.seen,
        wanted="shown to be within what the rollout's guard allows" + _more(outcome, times),
        used=None,
    )


def decide(checks: Sequence[Check]) -> LoadVerdict:
    """Make the verdict from the checks.

    A failed gate makes it INVALID. Otherwise a failed guard makes it FAIL, and an undecided guard makes it
    INVALID. A caveat is reported but does not affect the verdict."""
    bad = [check for check in checks if check.outcome is not CheckOutcome.PASS and check.kind != "caveat"]
    # Sort gates first, then failed checks, then undecided ones.
    bad.sort(key=lambda check: (check.kind != "gate", check.outcome is not CheckOutcome.FAIL))
    if bad:
        reasons = tuple(f"{check.name}: {check.seen}; wanted: {check.wanted}" for check in bad)
        return LoadVerdict(outcome=bad[0].outcome, reasons=reasons, binding=bad[0].name)
    degrees = [check for check in checks if check.kind == "guard" and check.used is not None]
    closest = max(degrees, key=lambda check: check.used or 0.0, default=None)
    return LoadVerdict(outcome=CheckOutcome.PASS, reasons=(), binding=closest.name if closest else None)


def _more(outcome: CheckOutcome, times: float | None) -> str:
    return f"; undecided: {say_longer(times)}" if outcome is CheckOutcome.INVALID else ""
