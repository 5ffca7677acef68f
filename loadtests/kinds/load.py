"""Load: a run of one model, and what its server counts meanwhile: what run, compare and soak share."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtests.judging.aggregation import describe, describe_sender, make_timeline, split_by_variant
from loadtests.judging.causes import count_causes
from loadtests.judging.checks import decide, excuse, guard_backlog, guard_errors, guard_latency
from loadtests.judging.limits import Limits
from loadtests.judging.request_cost import CpuReading, read_meter, reckon
from loadtests.judging.validity import check_samples, check_sender, check_steady
from loadtests.load_plan import LoadPlan
from loadtests.report import (
    CandidateComparison,
    Check,
    CheckOutcome,
    Kind,
    LoadReport,
    LoadTimeline,
    RequestCost,
    VariantReport,
)
from loadtests.sending.client import Client
from loadtests.sending.live import Live
from loadtests.sending.machine import read_environment
from loadtests.sending.measurement import Measurement
from loadtests.sending.model_metadata import ModelMetadata
from loadtests.sending.samples import Samples

if TYPE_CHECKING:
    from loadtests.sending.measure import LoadTarget

# What a server counts in its metrics is this old at most.
_SETTLE_S = 1.5
NO_COST = "no cost: the server's /metrics does not say what its processes spend"
_LOADED = "{} was loaded meanwhile, and is not judged by itself"

_EARLY = Check(
    name="ran to its end",
    kind="gate",
    outcome=CheckOutcome.INVALID,
    seen="it was ended early",
    wanted="all of the schedule: run again",
)


@dataclass(frozen=True, kw_only=True)
class LoadRun:
    """One run and what is known of it, the warm-up left out of all but the sender's part."""

    plan: LoadPlan
    limits: Limits
    measured: Measurement
    samples: Samples
    by_variant: Mapping[str, Samples]
    variants: Mapping[str, VariantReport]
    # All of them together.
    total: VariantReport
    timeline: LoadTimeline | None
    notes: tuple[str, ...]
    # Those that were loaded meanwhile: told, and not judged by themselves.
    newcomers: frozenset[str] = frozenset()


def load(
    client: Client,
    target: "LoadTarget",
    plan: LoadPlan,
    limits: Limits,
    is_enough: Callable[[Live, float], bool] | None = None,
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
    """What is known of a run from what was measured; no `costs`: they are not known."""
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
            name: describe(mine, limits.p99_ms, answered).model_copy(update={"cost": costs.get(name)})
            for name, mine in by_variant.items()
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
    """The gates and guards of a run whose variants are judged each by itself."""
    plan, limits, measured = run.plan, run.limits, run.measured
    sender = describe_sender(measured)
    used = {
        name: mine
        for name, mine in run.by_variant.items()
        if int(mine.timed.sum()) and name not in run.newcomers
    }
    checks = check_sender(
        plan,
        limits,
        sender,
        run.samples,
        complete=measured.complete,
        contention=measured.contention,
    )
    # Where nobody answered, no latency is judged, and that everything failed is sure.
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
    """Whether the answers kept up with the arrivals."""
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
    """The report of a run with these checks; one that was ended early decides nothing."""
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
    """What the plan's variants cost since `before`; empty where that is not known."""
    if before is None or not measured.complete or not len(measured.samples):
        return {}
    try:
        time.sleep(_SETTLE_S)
        after = read_meter(client)
    except KeyboardInterrupt:
        # The load is over: who is tired of waiting goes without the cost.
        return {}
    if after is None:
        return {}
    return reckon(before, after, plan.model, measured.cpu_s / len(measured.samples), limits)


def run(client: Client, target: "LoadTarget", plan: LoadPlan, limits: Limits) -> tuple[LoadReport, Samples]:
    """The report, and the raw record of every request, the warm-up's among them."""
    loaded = load(client, target, plan, limits)
    return report_run("run", loaded, check_run(loaded)), loaded.measured.samples
