"""Probe: one rate, tried for one variant, for no longer than it takes to know."""

from dataclasses import dataclass

import numpy as np

from loadtests.confidence import bound_rate
from loadtests.figures import describe_sender, estimate_quantile, over_limit
from loadtests.guards import COMPLETED, OVER_LIMIT, guard_backlog
from loadtests.limits import Limits
from loadtests.live import Live
from loadtests.measurement import Measurement
from loadtests.plan import LoadPlan
from loadtests.report import Estimate, Outcome, Probe
from loadtests.search import Trial
from loadtests.validity import check_sender

# A search has some 16 probes, and all of them together may be wrong once in twenty.
ALPHA = 0.05 / 16
# A shorter one sees no queue grow.
LEAST_S = 5.0
# In the search a rate that shows nothing bad passes after this; the confirmation proves it.
SEARCH_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Enough:
    """Asked while a probe runs: whether it is known what will become of it."""

    limits: Limits
    stage: str

    def __call__(self, live: Live, now_s: float) -> bool:
        overdue = live.overdue(now_s)
        late = bound_rate(live.over_limit + overdue, live.done + overdue, ALPHA)
        failed = bound_rate(live.errors, live.done, ALPHA)
        if _above(late, OVER_LIMIT) or _above(failed, self.limits.errors):
            return True
        proven = _below(late, OVER_LIMIT) and _below(failed, self.limits.errors)
        return now_s >= LEAST_S and (proven or (self.stage == "search" and now_s >= SEARCH_S))


def judge_probe(trial: Trial, plan: LoadPlan, limits: Limits, measured: Measurement) -> Probe:
    """What came of it."""
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
    trial: Trial, plan: LoadPlan, limits: Limits, measured: Measurement, late: Estimate
) -> tuple[Outcome, str]:
    samples = measured.samples.where(measured.samples.intended_s >= 0)
    sender = describe_sender(measured)
    gates = check_sender(plan, limits, sender, samples, complete=False)
    invalid = next((gate for gate in gates if gate.outcome is not Outcome.PASS), None)
    # A sender without CPU reads answers late, and nobody can tell whose fault that is.
    if invalid is not None and invalid.name == "sender's CPU":
        return Outcome.INVALID, f"{invalid.name}: {invalid.seen}"
    failed = bound_rate(int((~samples.right).sum()), len(samples), ALPHA)
    if _above(failed, limits.errors):
        cause = _first_cause(measured)
        return Outcome.FAIL, f"{failed.value:.2%} errors, {limits.errors:.4g} allowed: {cause}"
    if breach := _breach(limits, measured, late, blameless=invalid is not None):
        return Outcome.FAIL, breach
    if invalid is not None:
        return Outcome.INVALID, f"{invalid.name}: {invalid.seen}"
    if _below(late, OVER_LIMIT) and _below(failed, limits.errors):
        return Outcome.PASS, f"{late.value:.2%} over {limits.p99_ms:g} ms"
    if trial.stage == "search" and late.value <= OVER_LIMIT and failed.value <= limits.errors:
        return Outcome.PASS, f"{late.value:.2%} over {limits.p99_ms:g} ms, not yet proven"
    return Outcome.FAIL, f"not shown to be good: {late.value:.2%} over {limits.p99_ms:g} ms"


def _breach(limits: Limits, measured: Measurement, late: Estimate, *, blameless: bool) -> str | None:
    """Why the rate is too high; `blameless`: only where the sender's lateness is no excuse."""
    assert limits.p99_ms is not None
    samples = measured.samples.where(measured.samples.intended_s >= 0)
    if blameless:
        since_sent = (samples.done_s - samples.sent_s) * 1000
        slow = int((samples.unanswered | (samples.right & (since_sent > limits.p99_ms))).sum())
        late = bound_rate(slow, len(samples), ALPHA)
    if _above(late, OVER_LIMIT):
        return f"{late.value:.2%} over {limits.p99_ms:g} ms, {OVER_LIMIT:.0%} allowed"
    half = samples.unanswered_at(measured.sent_until_s / 2)
    backlog = guard_backlog(len(samples), samples.unanswered_at(measured.sent_until_s), half)
    if backlog.outcome is Outcome.FAIL and not blameless:
        return f"answers pile up: {backlog.seen}, {COMPLETED:.0%} wanted"
    return None


def _first_cause(measured: Measurement) -> str:
    samples = measured.samples
    wrong = samples.error[~samples.right]
    return samples.words[int(np.bincount(wrong).argmax())]


def _above(rate: Estimate, allowed: float) -> bool:
    return rate.low is not None and rate.low > allowed


def _below(rate: Estimate, allowed: float) -> bool:
    return rate.high is not None and rate.high <= allowed
