"""Combine the deltas of all gateways into one tick of evidence. Pure."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from serve.counting.count_delta import BEFORE, Count, CountDelta, VariantRun
from serve.counting.key_counts import KeyCounts
from serve.counting.quantiles import NAMES, QUANTILES
from serve.counting.run_costs import Sizes, add_run, add_sizes
from serve.counting.shadow_results import ShadowResults, add_copies
from serve.rollout.evidence.event_series import EventSeries, unpack
from serve.rollout.evidence.evidence import Cost, Events, Evidence, Pair, Segment
from serve.rollout.evidence.time_window import extended
from serve.rollout.state.rollout import RolloutPlan

# Revision of routes -> the step and the candidate's share.
Splits = Mapping[int, tuple[int, float]]


@dataclass(slots=True)
class _Sums:
    """The counts under one split, for the baseline and the candidate."""

    counts: tuple[Count, Count] = field(default_factory=lambda: (Count(), Count()))
    runs: tuple[list[VariantRun], list[VariantRun]] = field(default_factory=lambda: ([], []))
    keys: list[KeyCounts] = field(default_factory=lambda: [KeyCounts(), KeyCounts()])


@dataclass(slots=True)
class _Totals:
    """The content of all deltas: by step, split and stickiness; and the counts of keys at the baseline before
    the rollout, and in it before the first step."""

    splits: defaultdict[tuple[int, float, bool], _Sums] = field(default_factory=lambda: defaultdict(_Sums))
    before: KeyCounts = field(default_factory=KeyCounts)
    past: KeyCounts = field(default_factory=KeyCounts)


def gather(
    evidence: Evidence,
    deltas: Sequence[tuple[str, CountDelta]],
    plan: RolloutPlan,
    splits: Splits,
    span: tuple[float, float],
) -> Evidence:
    """Add these gateways' deltas to the evidence, as one tick from `span[0]` to `span[1]`. Requests whose
    routes belong to no step of the rollout are left out."""
    totals = _add_up([delta for _, delta in deltas], plan, splits)
    copies = _compared(evidence, [delta for _, delta in deltas])
    update = {
        "before": evidence.before + totals.before,
        "past": evidence.past + totals.past,
        "shadow": copies.pairs,
        "outputs": copies.outputs,
        "slices": copies.slices,
        "classes": copies.classes,
        "dropped": copies.dropped,
        "drops": copies.drops,
        "deaths": evidence.deaths + _deaths(deltas, plan),
        "sheets": {**evidence.sheets, **{gateway: delta.number for gateway, delta in deltas}},
    }
    return _go_on(evidence, totals, plan, span).model_copy(update=update)


def _add_up(deltas: Sequence[CountDelta], plan: RolloutPlan, splits: Splits) -> _Totals:
    totals, sides = _Totals(), {plan.baseline: 0, plan.candidate: 1}
    for delta in deltas:
        for (revision, sticky, variant), count in delta.counts.items():
            step, split = splits.get(revision, (0, 0.0))
            if step and variant in sides:
                sums = totals.splits[step, split, sticky]
                _add(sums.counts[sides[variant]], count)
                sums.keys[sides[variant]] += _keys(count)
            elif revision == BEFORE:
                totals.before += _keys(count)
            elif not step and variant == plan.baseline:
                totals.past += _keys(count)
        for variant, run in delta.runs.items():
            step, split = splits.get(run.revision, (0, 0.0))
            if step and variant in sides:
                totals.splits[step, split, False].runs[sides[variant]].append(run)
    return totals


def _compared(evidence: Evidence, deltas: Sequence[CountDelta]) -> ShadowResults:
    """All copies of the shadow so far."""
    copies = ShadowResults(
        pairs=evidence.shadow,
        outputs=dict(evidence.outputs),
        slices=dict(evidence.slices),
        classes=evidence.classes,
        dropped=evidence.dropped,
        drops=dict(evidence.drops),
    )
    for delta in deltas:
        add_copies(copies, delta.copies)
    return copies


def _go_on(evidence: Evidence, totals: _Totals, plan: RolloutPlan, span: tuple[float, float]) -> Evidence:
    """Add a tick for each split, and the time windows of the last step."""
    for key, part in totals.splits.items():
        tick = _tick(key, part, span)
        if span[0] - _begun_s(evidence, tick) < plan.policy.settle_at(tick.step):
            tick = _settling(tick)
        then, evidence = evidence, evidence.with_tick(tick, plan.replicas)
        if key[0] == len(plan.policy.steps):
            lately = extended(evidence.lately, span, _gained(then, evidence, key))
            evidence = evidence.model_copy(update={"lately": lately})
    return evidence


def _settling(tick: Segment) -> Segment:
    """A tick while a variant warms up: without latency and cost."""
    update = {
        name: field.default
        for name, field in Segment.model_fields.items()
        if name.startswith(("timed", "over_")) or name.endswith("_cost")
    }
    sides = ("baseline_keys", "candidate_keys")
    return tick.model_copy(update=update | {side: getattr(tick, side).without_limits for side in sides})


def _begun_s(evidence: Evidence, tick: Segment) -> float:
    """The start of the first tick with this split."""
    place = tick.step, tick.split
    begun = (seen.started_s for seen in evidence.segments if (seen.step, seen.split) == place)
    return min(begun, default=tick.started_s)


def _add(total: Count, count: Count) -> None:
    total.requests += count.requests
    total.errors += count.errors
    total.over_limit += count.over_limit
    for place in range(len(QUANTILES)):
        total.timed_quantiles[place] += count.timed_quantiles[place]
        total.over_quantiles[place] += count.over_quantiles[place]


def _latency(baseline: Count, candidate: Count) -> dict[str, Any]:
    """The latency of a tick, as fields of its segment."""
    fields: dict[str, Any] = {
        "timed": Pair(baseline=baseline.requests, candidate=candidate.requests),
        "over_limit": Events.tick(baseline.over_limit, candidate.over_limit),
    }
    for place, name in enumerate(NAMES):
        timed = baseline.timed_quantiles[place], candidate.timed_quantiles[place]
        over = baseline.over_quantiles[place], candidate.over_quantiles[place]
        fields[f"timed_{name}"] = Pair(baseline=timed[0], candidate=timed[1])
        fields[f"over_{name}"] = Events.tick(*over)
    return fields


def _gained(before: Evidence, after: Evidence, key: tuple[int, float, bool]) -> dict[str, int]:
    """The requests and events of the candidate that a tick added outside of stalls."""
    gained = {}
    for kind, names in (("errors", ("requests", "errors")), ("over_limit", ("timed", "over_limit"))):
        then, now = (_course(evidence, key, kind) for evidence in (before, after))
        for name, less, more in zip(
            names, (then.requests, then.events), (now.requests, now.events), strict=True
        ):
            gained[name] = round(float(more[0, 1] - less[0, 1]))
    return gained


def _course(evidence: Evidence, key: tuple[int, float, bool], kind: str) -> EventSeries:
    numbers = (segment.courses.get(kind, ()) for segment in evidence.segments if segment.key == key)
    return unpack([next(numbers, ())])


def _deaths(deltas: Sequence[tuple[str, CountDelta]], plan: RolloutPlan) -> Pair:
    """Deaths of gateways by the variants that were running; if both were, the death counts for both."""
    died = [delta.died for _, delta in deltas]
    return Pair(
        baseline=sum(plan.baseline in ran for ran in died),
        candidate=sum(plan.candidate in ran for ran in died),
    )


def _tick(key: tuple[int, float, bool], sums: _Sums, span: tuple[float, float]) -> Segment:
    step, split, sticky = key
    baseline, candidate = sums.counts
    return Segment(
        step=step,
        split=split,
        sticky=sticky,
        started_s=span[0],
        ended_s=span[1],
        requests=Pair(baseline=baseline.requests, candidate=candidate.requests),
        errors=Events.tick(baseline.errors, candidate.errors),
        **_latency(baseline, candidate),
        baseline_cost=_cost(sums.runs[0], span[1]),
        candidate_cost=_cost(sums.runs[1], span[1]),
        baseline_keys=sums.keys[0],
        candidate_keys=sums.keys[1],
    )


def _keys(count: Count) -> KeyCounts:
    def by_bucket(number: Callable[[Count], int]) -> dict[int, int]:
        return {bucket: many for bucket, part in count.keys.items() if (many := number(part))}

    return KeyCounts(
        buckets=by_bucket(lambda part: part.requests),
        errors=by_bucket(lambda part: part.errors),
        over_limit=by_bucket(lambda part: part.over_limit),
        over_p50=by_bucket(lambda part: part.over_quantiles[0]),
        over_p95=by_bucket(lambda part: part.over_quantiles[1]),
        over_p99=by_bucket(lambda part: part.over_quantiles[2]),
    )


def _cost(runs: Sequence[VariantRun], at_s: float) -> Cost:
    """The cost of all gateways' runs of one variant in this tick."""
    sizes = add_sizes(run.sizes or _alone(run) for run in runs)
    return Cost.tick(sum(run.rows for run in runs), sum(run.cpu_ms for run in runs), sizes, at_s)


def _alone(run: VariantRun) -> Sizes:
    # A gateway that does not send sizes: as if it were one run.
    sizes: Sizes = {}
    add_run(sizes, run.rows, run.cpu_ms)
    return sizes
