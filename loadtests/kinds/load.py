"""Runs a load on one model and reads its server's counters; `run`, `compare` and `soak` share it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtests.candidate_comparison import CandidateComparison
from loadtests.judging.aggregation import describe, describe_sender, make_timeline, split_by_variant
from loadtests.judging.checks import decide, excuse, guard_backlog, guard_errors, guard_latency
from loadtests.judging.failure_causes import count_causes
from loadtests.judging.limits import Limits
from loadtests.judging.request_cost import CpuReading, read_meter, reckon
from loadtests.judging.validity import check_samples, check_sender, check_steady
from loadtests.load_plan import LoadPlan
from loadtests.load_timeline import LoadTimeline
from loadtests.load_verdict import Check, CheckOutcome
from loadtests.report import Kind, LoadReport
from loadtests.sending.client import Client
from loadtests.sending.live_counters import LiveCounters
from loadtests.sending.machine import read_environment
from loadtests.sending.measurement import Measurement
from loadtests.sending.model_metadata import ModelMetadata
from loadtests.sending.samples import Samples
from loadtests.variant_report import RequestCost, VariantReport

if TYPE_CHECKING:
    from loadtests.sending.measure import LoadTarget

# Maximum age of the values in the server's metrics.
_SETTLE_S = 1.5
NO_COST = "no cost: the server's /metrics does not report the CPU time of its processes"
_LOADED = "{} was loaded during the run, and is not judged on its own"

_EARLY = Check(
    name="ran to its end",
    kind="gate",
    outcome=CheckOutcome.INVALID,
    seen="it was ended early",
    wanted="the whole schedule: run again",
)


@dataclass(frozen=True, kw_only=True)
class LoadRun:
    """One run and its results. The warm-up counts only in the sender's report."""

    plan: LoadPlan
    limits: Limits
    measured: Measurement
    samples: Samples
    by_variant: Mapping[str, Samples]
    variants: Mapping[str, VariantReport]
    # All variants together.
    total: VariantReport
    timeline: LoadTimeline | None
    notes: tuple[str, ...]
    # Variants that were loaded during the run; they are reported, but not judged on their own.
    newcomers: frozenset[str] = frozenset()


def load(
    client: Client,
    target: "LoadTarget",
    plan: LoadPlan,
    limits: Limits,
    is_enough: Callable[[LiveCounters, float], bool] | None = None,
) -> LoadRun:
    """Send the plan's requests; see `loadtests.sending.measure` for `is_enough`."""
    from loadtests.sending.measure import measure  # imports locust, which patches the process

    before = read_meter(client)
    measured = measure(plan, target, limits.p99_ms, is_enough)
    return describe_run(
        plan, limits, target.metadata, measured, find_costs(client, before, measured, plan, limits)
    )


def describe_run(
    plan: LoadPlan,
    limits: Limits,
    metadata: ModelMetadata,
    measured: Measurement,
    costs: Mapping[str, RequestCost],
) -> LoadRun:
    """Build the results of a run from its measurement; an empty `costs` means that they are not known."""
    samples = measured.samples.where(measured.samples.intended_s >= 0)
    by_variant = split_by_variant(samples, plan.pinned or metadata.versions)
    newcomers = frozenset(set(samples.names) - set(metadata.versions)) if metadata.versions else frozenset()
    answered = int(samples.right.sum())
    return LoadRun(
        plan=plan,
        limits=limits,
        measured=measured,
        samples=samples,
        by_variant=by_variant,
        variants={
            name: describe(own_samples, limits.p99_ms, answered).model_copy(update={"cost": costs.get(name)})
            for name, own_samples in by_variant.items()
        },
        total=describe(samples, limits.p99_ms, answered),
        timeline=make_timeline(by_variant, min(plan.duration_s, measured.sent_until_s)),
        newcomers=newcomers,
        notes=(
            *(() if costs or not measured.complete else (NO_COST,)),
            *(_LOADED.format(name) for name in sorted(newcomers)),
        ),
    )


def check_run(run: LoadRun) -> list[Check]:
    """Return the gates and guards of a run in which each variant is judged on its own."""
    plan, limits, measured = run.plan, run.limits, run.measured
    sender = describe_sender(measured)
    used = {
        name: samples
        for name, samples in run.by_variant.items()
        if int(samples.timed.sum()) and name not in run.newcomers
    }
    checks = check_sender(
        plan,
        limits,
        sender,
        run.samples,
        complete=measured.complete,
        contention=measured.contention,
    )
    # Without answers, latency is not judged, and the guard on errors fails anyway.
    if used:
        checks.append(check_samples(used, 0.5 if limits.p99_ms is None else 0.99))
    backlog = check_backlog(run)
    if plan.is_steady and backlog.outcome == "PASS":
        checks.append(check_steady(run.samples, measured.sent_until_s))
    if plan.pinned:
        checks += [guard_errors(name, run.variants[name], limits) for name in plan.pinned]
    else:
        checks.append(guard_errors("all", run.total, limits))
    if limits.p99_ms is not None:
        checks += [excuse(guard_latency(name, run.variants[name], limits), measured.steal) for name in used]
    return [*checks, backlog]


def check_backlog(run: LoadRun) -> Check:
    """Check whether the answers kept up with the arrivals."""
    end_s = run.measured.sent_until_s
    backlog = guard_backlog(
        len(run.samples), run.samples.unanswered_at(end_s), run.samples.unanswered_at(end_s / 2)
    )
    return excuse(backlog, run.measured.steal)


def report_run(
    kind: Kind,
    run: LoadRun,
    checks: Sequence[Check],
    comparisons: Sequence[CandidateComparison] = (),
    notes: Sequence[str] = (),
) -> LoadReport:
    """Make the report of a run from these checks; a run that was ended early decides nothing."""
    samples = run.samples
    if not run.measured.complete:
        checks = [_EARLY, *checks]
    causes = count_causes([samples])
    return LoadReport(
        kind=kind,
        started_at=run.measured.started_at,
        environment=read_environment(run.measured.steal, run.measured.contention),
        plan=run.plan,
        limits=run.limits,
        complete=run.measured.complete,
        verdict=decide(checks),
        checks=tuple(checks),
        requests=len(samples),
        errors=sum(causes.values()),
        errors_by_cause=causes,
        variants=run.variants,
        comparisons=tuple(comparisons),
        timeline=run.timeline,
        sender=describe_sender(run.measured),
        notes=(*run.notes, *notes),
    )


def find_costs(
    client: Client, before: CpuReading | None, measured: Measurement, plan: LoadPlan, limits: Limits
) -> dict[str, RequestCost]:
    """Return the cost of the plan's variants since `before`; empty if it is not known."""
    if before is None or not measured.complete or not len(measured.samples):
        return {}
    try:
        time.sleep(_SETTLE_S)
        after = read_meter(client)
    except KeyboardInterrupt:
        # The load is over, so if the user interrupts the wait, only the cost is lost.
        return {}
    if after is None:
        return {}
    return reckon(before, after, plan.model, measured.cpu_s / len(measured.samples), limits)


def run(client: Client, target: "LoadTarget", plan: LoadPlan, limits: Limits) -> tuple[LoadReport, Samples]:
    """Run the load and return the report and the samples of every request, including the warm-up."""
    loaded = load(client, target, plan, limits)
    return report_run("run", loaded, check_run(loaded)), loaded.measured.samples
