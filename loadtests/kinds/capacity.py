"""Searches for each variant's capacity, the highest rate that keeps the limits. The variants take turns, so a
machine that slows down affects all of them."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

from loadtests.capacity_record import Capacity, Probe
from loadtests.judging.aggregation import describe_sender
from loadtests.judging.checks import COMPLETED, decide
from loadtests.judging.contention import ContentionClock
from loadtests.judging.failure_causes import count_causes
from loadtests.judging.limits import Limits
from loadtests.judging.probe import PROOF_REQUESTS, StopRule, judge_probe
from loadtests.judging.request_cost import read_meter, reckon
from loadtests.judging.search import CONFIRMATIONS, RateTrial, SearchResult, next_trial, summarize_probes
from loadtests.kinds.load import NO_COST
from loadtests.load_plan import LoadPlan, steady
from loadtests.load_verdict import Check, CheckOutcome
from loadtests.report import LoadReport, SenderReport
from loadtests.sending.client import Client
from loadtests.sending.machine import StealClock, read_environment
from loadtests.sending.measure import LoadTarget, measure
from loadtests.sending.measurement import Measurement
from loadtests.variant_report import RequestCost

_WARMUP_S = 1.0
# After a probe, the server needs this time to finish its work and to update its metrics.
_REST_S = 1.5
# If, a twentieth above the capacity, this share of requests is over the limit or unanswered, the boundary is
# a cliff.
_CLIFF = 0.1

Say = Callable[[str], object]


@dataclass(kw_only=True)
class _Variant:
    """The search for one variant so far."""

    # The variant to request; empty if the model's variants cannot be told apart.
    pinned: tuple[str, ...]
    probes: list[Probe] = field(default_factory=list)
    cost: RequestCost | None = None
    found: SearchResult | None = None

    def next(self, start_per_s: float) -> RateTrial | SearchResult:
        """Return what follows from the probes so far."""
        return next_trial(self.probes, start_per_s)


def find_capacity(client: Client, target: LoadTarget, plan: LoadPlan, limits: Limits, say: Say) -> LoadReport:
    """Search the capacity of each pinned variant of the plan.

    The plan's rate is the first rate to try, and its duration the maximum duration of a probe. `say` receives
    a line about each probe."""
    started_at, steal = datetime.now(UTC).isoformat(timespec="seconds"), StealClock()
    contention = ContentionClock()
    names = plan.pinned or ("all",)
    variants = {name: _Variant(pinned=(name,) if plan.pinned else ()) for name in names}
    measured: list[Measurement] = []
    try:
        for run in _search(client, target, plan, limits, variants, say):
            measured.append(run)
    except KeyboardInterrupt:
        # Ctrl-C arrived between two probes, where no other code handles it.
        pass
    complete = all(variant.found for variant in variants.values())
    checks = [_check(name, variant) for name, variant in variants.items()]
    causes = count_causes([run.samples for run in measured])
    return LoadReport(
        kind="capacity",
        started_at=started_at,
        environment=read_environment(steal.share(), contention.read()),
        plan=plan,
        limits=limits,
        complete=complete,
        verdict=decide(checks),
        checks=tuple(checks),
        requests=sum(len(run.samples) for run in measured),
        errors=sum(causes.values()),
        errors_by_cause=causes,
        variants={},
        capacities={name: _describe(variant) for name, variant in variants.items()},
        probes=tuple(probe for variant in variants.values() for probe in variant.probes),
        timeline=None,
        sender=_worst([describe_sender(run) for run in measured]),
        notes=(NO_COST,) if any(map(_lacks_cost, variants.values())) else (),
    )


def _search(  # noqa: PLR0913, PLR0917 - what a test has, and the variants that it fills
    client: Client,
    target: LoadTarget,
    plan: LoadPlan,
    limits: Limits,
    variants: dict[str, _Variant],
    say: Say,
) -> Iterator[Measurement]:
    """Run one probe after the other, and record each in its variant, until all searches end or Ctrl-C
    arrives."""
    seeds = count(plan.seed)
    for name in _turns(variants):
        variant = variants[name]
        trial = variant.next(plan.profile[0][1])
        if isinstance(trial, SearchResult):
            variant.found = trial
            continue
        if trial.pause_s:
            say(f"{name}: trying again in {trial.pause_s:.0f} s, when the machine may be quieter")
            time.sleep(trial.pause_s)
        proof_s = PROOF_REQUESTS / trial.rate_per_s if trial.stage == "confirm" else 0.0
        update = {
            "profile": steady(trial.rate_per_s, max(plan.duration_s, proof_s)),
            "pinned": variant.pinned,
            "seed": next(seeds),
            "warmup_s": _WARMUP_S,
        }
        probe, run, cost = _probe(client, target, trial, plan.model_copy(update=update), limits)
        yield run
        if not run.complete:
            return
        variant.probes.append(probe.model_copy(update={"variant": name}))
        variant.cost = cost or variant.cost
        say(
            f"{name}: {trial.stage} {trial.rate_per_s:,.4g}/s: {probe.outcome} "
            f"after {probe.duration_s:.0f} s, {probe.reason}"
        )


def _lacks_cost(variant: _Variant) -> bool:
    """Return whether a rate was confirmed (which is when the cost is measured) but its cost is unknown."""
    return variant.cost is None and variant.found is not None and variant.found.confirmed > 0


def _turns(variants: dict[str, _Variant]) -> Iterator[str]:
    """Return the unfinished variants forward and backward: a b c c b a."""
    forward = True
    while left := [name for name, variant in variants.items() if variant.found is None]:
        yield from left if forward else reversed(left)
        forward = not forward


def _probe(
    client: Client, target: LoadTarget, trial: RateTrial, plan: LoadPlan, limits: Limits
) -> tuple[Probe, Measurement, RequestCost | None]:
    """Run one probe; if it is a confirmation, also measure the cost of its requests."""
    before = read_meter(client) if trial.stage == "confirm" else None
    run = measure(plan, target, limits.p99_ms, StopRule(limits=limits, stage=trial.stage))
    probe = judge_probe(trial, plan, limits, run)
    time.sleep(_REST_S if run.complete else 0)
    after = read_meter(client) if before is not None else None
    if before is None or after is None or probe.outcome is not CheckOutcome.PASS:
        return probe, run, None
    costs = reckon(before, after, plan.model, run.cpu_s / max(1, len(run.samples)), limits)
    return probe, run, next((costs[name] for name in plan.pinned if name in costs), None)


def _describe(variant: _Variant) -> Capacity:
    result = variant.found or summarize_probes(variant.probes)
    passed, breach = result.passed, result.breach
    cliff = breach is not None and (
        breach.over_limit.value >= _CLIFF
        or breach.completed < COMPLETED
        or breach.errors >= _CLIFF * breach.requests
    )
    return Capacity(
        rate_per_s=None if passed is None else passed.rate_per_s,
        infeasible_per_s=None if breach is None else breach.rate_per_s,
        first_breach=None if breach is None else breach.reason,
        boundary=None if breach is None or passed is None else "cliff" if cliff else "smooth",
        confirmed=result.confirmed,
        confirmations=CONFIRMATIONS,
        cost=variant.cost,
    )


def _check(name: str, variant: _Variant) -> Check:
    result = variant.found or summarize_probes(variant.probes)
    trouble = result.trouble if variant.found else "the search was ended early"
    if trouble is not None:
        outcome, seen = CheckOutcome.INVALID, trouble
        if result.passed is not None:
            seen += f"; at least {result.passed.rate_per_s:,.4g}/s passed"
    elif result.passed is None:
        reason = "" if result.breach is None else f": {result.breach.reason}"
        outcome, seen = CheckOutcome.FAIL, f"no rate keeps the limits{reason}"
    else:
        outcome, seen = CheckOutcome.PASS, f"{result.passed.rate_per_s:,.4g} requests/s"
    return Check(
        name=f"capacity of {name}",
        kind="gate" if trouble is not None else "guard",
        outcome=outcome,
        seen=seen,
        wanted=f"a rate that keeps the limits, confirmed {CONFIRMATIONS} times",
    )


def _worst(senders: list[SenderReport]) -> SenderReport:
    def most(values: list[float | None]) -> float | None:
        return max((value for value in values if value is not None), default=None)

    return SenderReport(
        lateness_p50_ms=most([sender.lateness_p50_ms for sender in senders]),
        lateness_p99_ms=most([sender.lateness_p99_ms for sender in senders]),
        lateness_max_ms=most([sender.lateness_max_ms for sender in senders]),
        cpu_s=sum(sender.cpu_s for sender in senders),
        cpu_share=max((sender.cpu_share for sender in senders), default=0.0),
        in_flight=max((sender.in_flight for sender in senders), default=0),
        pool_full=sum(sender.pool_full for sender in senders),
    )
