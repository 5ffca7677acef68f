"""Judges a probe (one rate, tried with one variant) and decides when it has run long enough."""

from dataclasses import dataclass

import numpy as np

from loadtests.capacity_record import Probe
from loadtests.judging.aggregation import describe_sender, estimate_quantile, over_limit
from loadtests.judging.checks import COMPLETED, OVER_LIMIT, guard_backlog
from loadtests.judging.confidence import bound_rate
from loadtests.judging.limits import Limits
from loadtests.judging.search import RateTrial
from loadtests.judging.validity import check_sender, is_stolen
from loadtests.load_plan import LoadPlan
from loadtests.load_verdict import CheckOutcome
from loadtests.sending.live_counters import LiveCounters
from loadtests.sending.measurement import Measurement
from loadtests.sending.samples import Samples
from loadtests.variant_report import Interval

# A search has about 16 probes; with this level, the chance that any of them is wrong is one in twenty.
ALPHA = 0.05 / 16
# A shorter probe would not show a growing queue.
LEAST_S = 5.0
# A search probe passes after this time unless it looks bad, or earlier if no request was over the limit. The
# confirmation proves it.
SEARCH_S = 10.0
# A confirmation may exceed the requested duration up to twice the number of requests that prove a rate when
# none is over the limit.
PROOF_REQUESTS = 2_000


@dataclass(frozen=True, kw_only=True)
class StopRule:
    """Decides during a probe whether its outcome is already known."""

    limits: Limits
    stage: str

    def __call__(self, live: LiveCounters, now_s: float) -> bool:
        overdue = live.overdue(now_s)
        late = bound_rate(live.over_limit + overdue, live.done + overdue, ALPHA)
        failed = bound_rate(live.errors, live.done, ALPHA)
        if now_s < LEAST_S:
            return False
        if _above(late, OVER_LIMIT) or _above(failed, self.limits.errors):
            return True
        if self.stage == "search" and (now_s >= SEARCH_S or not late.value + failed.value):
            return late.value <= OVER_LIMIT and failed.value <= self.limits.errors
        return _below(late, OVER_LIMIT) and _below(failed, self.limits.errors)


def judge_probe(trial: RateTrial, plan: LoadPlan, limits: Limits, measured: Measurement) -> Probe:
    """Judge a finished probe."""
    assert limits.p99_ms is not None
    samples = measured.samples.where(measured.samples.intended_s >= 0)
    late = bound_rate(int(over_limit(samples, limits.p99_ms).sum()), len(samples), ALPHA)
    outcome, reason = _judge(trial, plan, limits, measured, late)
    timed = np.sort(samples.latency_ms[samples.timed])
    p50, p99 = (estimate_quantile(timed, q) for q in (0.5, 0.99))
    return Probe(
        variant=plan.pinned[0] if plan.pinned else "",
        stage=trial.stage,
        rate_per_s=trial.rate_per_s,
        seed=plan.seed,
        duration_s=measured.sent_until_s,
        outcome=outcome,
        reason=reason,
        requests=len(samples),
        errors=int((~samples.right).sum()),
        over_limit=late,
        completed=1 - samples.unanswered_at(measured.sent_until_s) / max(1, len(samples)),
        p50_ms=None if p50 is None else p50.value,
        p99_ms=None if p99 is None else p99.value,
    )


def _judge(
    trial: RateTrial, plan: LoadPlan, limits: Limits, measured: Measurement, late: Interval
) -> tuple[CheckOutcome, str]:
    outcome, reason = _judge_load(trial, plan, limits, measured, late)
    if outcome is CheckOutcome.FAIL and is_stolen(measured.steal):
        return (
            CheckOutcome.INVALID,
            f"other guests took {measured.steal:.0%} of this machine's CPU time: {reason}",
        )
    return outcome, reason


def _judge_load(
    trial: RateTrial, plan: LoadPlan, limits: Limits, measured: Measurement, late: Interval
) -> tuple[CheckOutcome, str]:
    samples = measured.samples.where(measured.samples.intended_s >= 0)
    gates = check_sender(
        plan, limits, describe_sender(measured), samples, complete=False, contention=measured.contention
    )
    invalid = next((gate for gate in gates if gate.outcome is not CheckOutcome.PASS), None)
    failed = bound_rate(int((~samples.right).sum()), len(samples), ALPHA)
    breach = None
    if _above(failed, limits.errors):
        breach = f"{failed.value:.2%} errors, {limits.errors:.2%} allowed: {_first_cause(samples)}"
    # A sender without CPU reads answers late, so the server may not be the cause.
    elif invalid is None or invalid.name != "sender's CPU":
        breach = _breach(limits, measured, late, excused=invalid is not None)
    if breach is not None:
        return CheckOutcome.FAIL, breach
    if invalid is not None:
        return CheckOutcome.INVALID, f"{invalid.name}: {invalid.seen}"
    description = f"{late.value:.2%} over {limits.p99_ms:g} ms"
    if _below(late, OVER_LIMIT) and _below(failed, limits.errors):
        return CheckOutcome.PASS, description
    if trial.stage == "search" and late.value <= OVER_LIMIT and failed.value <= limits.errors:
        return CheckOutcome.PASS, f"{description}, not yet proven"
    return CheckOutcome.FAIL, f"not shown to be good: {description}"


def _breach(limits: Limits, measured: Measurement, late: Interval, *, excused: bool) -> str | None:
    """Return why the rate is too high, or None. With `excused`, reasons that a late sender could explain do
    not count."""
    assert limits.p99_ms is not None
    samples = measured.samples.where(measured.samples.intended_s >= 0)
    if excused:
        since_sent_ms = (samples.done_s - samples.sent_s) * 1000
        slow = samples.unanswered | (samples.right & (since_sent_ms > limits.p99_ms))
        late = bound_rate(int(slow.sum()), len(samples), ALPHA)
    if _above(late, OVER_LIMIT):
        return f"{late.value:.2%} over {limits.p99_ms:g} ms, {OVER_LIMIT:.0%} allowed"
    end_s = measured.sent_until_s
    backlog = guard_backlog(len(samples), samples.unanswered_at(end_s), samples.unanswered_at(end_s / 2))
    if backlog.outcome is CheckOutcome.FAIL and not excused:
        return f"answers pile up: {backlog.seen}, {COMPLETED:.0%} wanted"
    return None


def _first_cause(samples: Samples) -> str:
    return samples.words[int(np.bincount(samples.error[~samples.right]).argmax())]


def _above(rate: Interval, allowed: float) -> bool:
    return rate.low is not None and rate.low > allowed


def _below(rate: Interval, allowed: float) -> bool:
    return rate.high is not None and rate.high <= allowed
