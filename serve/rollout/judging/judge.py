"""Compute a verdict with its reason from the evidence. Pure: no clock, no I/O."""

from collections.abc import Sequence
from enum import StrEnum
from functools import cache

from serve.base.record import Record
from serve.rollout.evidence.evidence import Cost, Drop, Evidence, Segment
from serve.rollout.judging.cost import concentration, weigh_cost
from serve.rollout.judging.counts import counts_of
from serve.rollout.judging.guard_figure import Figure, safe_at, with_thresholds
from serve.rollout.judging.guarded_metric import Count, GuardedMetric, about
from serve.rollout.judging.guards import watch_split
from serve.rollout.judging.label_bias import without_biased_labels
from serve.rollout.judging.latency import LATENCIES, watch_latencies, without_data
from serve.rollout.judging.mcnemar import watch_matched
from serve.rollout.judging.recent_rates import LATELY, recent_figures
from serve.rollout.judging.shadow_likeness import compare, compare_slices
from serve.rollout.judging.slicing import missing_of, not_compared
from serve.rollout.state.policy import Policy, ShadowPolicy
from serve.rollout.state.rollout import Rollout

_DROPPED = {
    Drop.FULL: "its queue was full (max_shadow_rows)",
    Drop.DOWN: "the candidate was not running",
    Drop.BUSY: "live requests were waiting",
    Drop.FAULT: "of an internal error (see the server's log)",
}
# Deaths of gateways while the candidate ran in their process; each death fails all requests of the gateway.
_MOST_DEATHS = 3


class Kind(StrEnum):
    """The kind of a verdict."""

    PROMOTE = "PROMOTE"
    ROLLBACK = "ROLLBACK"
    CONTINUE = "CONTINUE"
    INCONCLUSIVE = "INCONCLUSIVE"


class Verdict(Record):
    """A decision, its reason and the figures. PROMOTE means one step further."""

    kind: Kind
    reason: str
    figures: tuple[Figure, ...]


def judge(rollout: Rollout, evidence: Evidence, now_s: float) -> Verdict:
    """The verdict on a rollout that is not over. It can be computed as often as you like."""
    assert not rollout.phase.over
    count = _counting(rollout, evidence)
    figures = _find(rollout, evidence, count)
    kind, reason = _decide(rollout, evidence, figures, count, now_s)
    return Verdict(kind=kind, reason=reason, figures=figures)


def find(rollout: Rollout, evidence: Evidence) -> tuple[Figure, ...]:
    """The figures of all guards over the whole evidence; segments have their splits, so no step is lost."""
    return _find(rollout, evidence, _counting(rollout, evidence))


def _counting(rollout: Rollout, evidence: Evidence) -> Count:
    """The counts of each kind, computed once, because they are a large part of the cost of a verdict."""
    known, stall_s, replicas = evidence.known, rollout.policy.guards.stall_s, rollout.plan.replicas
    return cache(lambda kind: counts_of(known, kind, stall_s, replicas))


def _find(rollout: Rollout, evidence: Evidence, count: Count) -> tuple[Figure, ...]:
    policy, own, evidence = rollout.policy, evidence.segments, evidence.known
    confident: list[tuple[Figure, float]] = [
        (kind.figure(evidence.segments, count), kind.guard.confidence)
        for kind in _guarded_metrics(rollout, evidence.segments)
    ]
    if not policy.shadow.skip:
        likeness = (*compare(policy.shadow, evidence.shadow), *_slices(policy, evidence))
        confident += [(figure, policy.shadow.confidence) for figure in likeness]
        if (accuracy := policy.guards.accuracy) is not None:
            matched = watch_matched(accuracy, evidence.matched, evidence.classes, policy.proof)
            confident.append((matched, accuracy.confidence))
    confident += recent_figures(rollout, evidence)
    judged = without_biased_labels(
        with_thresholds(confident, policy.proof, (LATENCIES, LATELY)), evidence.segments
    )
    # They share the error probability even without data; otherwise all thresholds would move later.
    silent = set() if evidence.slices else {"slices"}
    silent |= {figure.guard for figure in judged if figure.guard in LATELY and figure.harm is None}
    judged = tuple(figure for figure in judged if figure.guard not in silent)
    return (*judged, _cost(rollout, own), watch_split(own))


def _guarded_metrics(rollout: Rollout, segments: Sequence[Segment]) -> list[GuardedMetric]:
    """All kinds of events of live requests that the policy guards."""
    guards = rollout.policy.guards
    metrics = [
        GuardedMetric(name="errors", guard=guards.errors, kind="errors"),
        *watch_latencies(rollout, segments),
    ]
    if guards.accuracy is not None:
        metrics.append(GuardedMetric(name="accuracy", guard=guards.accuracy, kind="wrong"))
    return metrics


def _slices(policy: Policy, evidence: Evidence) -> tuple[Figure, ...]:
    shadow = policy.shadow
    if shadow.slices is None:
        return ()
    agreement = shadow.slices.agreement or shadow.agreement
    return (compare_slices(agreement, evidence.slices, policy.proof),)


def _decide(
    rollout: Rollout, evidence: Evidence, figures: Sequence[Figure], count: Count, now_s: float
) -> tuple[Kind, str]:
    """Decide. The order matters: harm comes first, and the time limit before any further step."""
    share = f"at {100 * rollout.share:.4g} % of the traffic" if rollout.step else "in the shadow"
    *guards, mismatch = figures
    if harm := _harm(evidence, guards, share):
        return Kind.ROLLBACK, harm
    seen = "; ".join(f"{figure.guard}: {figure.seen}" for figure in guards)
    if rollout.watched:
        stayed_s = evidence.stayed_s(rollout.entered_s, now_s)
        return _watch_on(rollout.policy, guards, share, seen, stayed_s)
    if mismatch.harmful:
        return Kind.INCONCLUSIVE, f"the evidence is not reliable: {mismatch.harm_text()}"
    elapsed_s = evidence.elapsed_s(rollout.started_s, now_s)
    unproven = _unproven(rollout, evidence, guards, count, now_s)
    missing = [*too_early(rollout, evidence, now_s), *unproven]
    if elapsed_s >= rollout.policy.maximum_s:
        return Kind.INCONCLUSIVE, (
            f"the time limit of {rollout.policy.maximum_s:,.0f} s is over after {elapsed_s:,.0f} s, {share}; "
            f"{'; '.join(missing) or 'nothing was missing'}"
        )
    if missing:
        return Kind.CONTINUE, f"{share}: {'; '.join(missing)}"
    unseen = "" if rollout.step else not_compared(rollout.policy, evidence.known.slices)
    return Kind.PROMOTE, f"safe to go on {share}: {seen}{unseen}"


def _watch_on(
    policy: Policy, guards: Sequence[Figure], share: str, seen: str, watched_s: float
) -> tuple[Kind, str]:
    """Continue or end the watch: it ends neither before its time nor during a suspicion."""
    progress = f"{share}: watched for {watched_s:,.0f} of {policy.watch_s:,.0f} s"
    suspicions = _held_by(guards)
    if watched_s < policy.watch_s or suspicions:
        return Kind.CONTINUE, "; ".join([progress, *suspicions])
    return Kind.PROMOTE, f"{progress}; {seen}"


def _harm(evidence: Evidence, guards: Sequence[Figure], share: str) -> str | None:
    """The reason for harm; None if there is no harm."""
    if (died := evidence.known.deaths.candidate) >= _MOST_DEATHS:
        return f"{died} gateways died while running it, {share}"
    harmful = [figure.harm_text() for figure in guards if figure.harmful]
    return f"harm shown {share}: {'; '.join(harmful)}" if harmful else None


def too_early(rollout: Rollout, evidence: Evidence, now_s: float) -> list[str]:
    """The time and the traffic that this step still lacks."""
    if not rollout.step:
        rare = missing_of(rollout.policy, evidence.known.slices, evidence.stayed_s(rollout.entered_s, now_s))
        return [*_too_few_pairs(rollout.policy.shadow, evidence), *rare]
    step = rollout.policy.steps[rollout.step - 1]
    requests = sum(segment.requests.both for segment in _of_step(rollout, evidence.segments))
    missing = []
    if (stayed_s := evidence.stayed_s(rollout.entered_s, now_s)) < step.minimum_s:
        missing.append(f"{stayed_s:,.0f} of {step.minimum_s:,.0f} s")
    if (least := step.minimum_requests) > requests:
        left = about(stayed_s * (least / requests - 1)) if requests else ""
        missing.append(f"{requests:,} of {least:,} requests{left}")
    return missing


def _too_few_pairs(shadow: ShadowPolicy, evidence: Evidence) -> list[str]:
    """The pairs that the shadow still lacks, and why copies were dropped."""
    pairs, requests = evidence.shadow.pairs, evidence.shadow.clusters.requests
    least = min(shadow.minimum_requests, shadow.minimum_pairs)
    missing = []
    if pairs < shadow.minimum_pairs:
        missing.append(f"{pairs:,} of {shadow.minimum_pairs:,} pairs")
    if requests < least:
        missing.append(f"{requests:,} of {least:,} requests with pairs")
    if missing and evidence.dropped:
        why = ", ".join(f"{rows:,} because {_DROPPED[drop]}" for drop, rows in evidence.drops.items())
        missing.append(f"{evidence.dropped:,} rows of copies were dropped{why and f': {why}'}")
    return missing


def _unproven(
    rollout: Rollout, evidence: Evidence, figures: Sequence[Figure], count: Count, now_s: float
) -> list[str]:
    """What prevents the next step: any suspicion, and missing proofs if the policy requires them."""
    missing = _held_by(figures)
    if not needs_proof(rollout.policy, rollout.step):
        return missing
    metrics = {kind.name: kind for kind in _guarded_metrics(rollout, evidence.segments)}
    if rollout.step and without_data(metrics.values()):
        missing.append("latency unproven: no request was compared, because the baseline's is not known")
    # The cost was proven before the last step, at a split with more similar batches.
    live = [*metrics, "cost"] if rollout.step < len(rollout.policy.steps) else [*metrics]
    for figure in figures:
        if (figure.guard in live) != bool(rollout.step) or figure.safe is None or figure.proven:
            continue
        left = ""
        if (kind := metrics.get(figure.guard)) is not None and figure.safe_at is not None:
            growth = kind.growth(evidence.known.segments, count, rollout.step, figure.safe_at)
            left = about(None if growth is None else growth * evidence.stayed_s(rollout.entered_s, now_s))
        missing.append(f"{figure.safe_text()}{left}")
    return missing


def _held_by(figures: Sequence[Figure]) -> list[str]:
    """What prevents the end of a step or of the watch."""
    suspicions = [f"suspected harm, {figure.harm_text()}" for figure in figures if figure.suspicious]
    return suspicions + [f"{figure.guard}: {figure.waits}" for figure in figures if figure.waits is not None]


def needs_proof(policy: Policy, step: int) -> bool:
    """Whether leaving `step` requires the whole proof. With all traffic there is nothing to compare with."""
    if step == len(policy.steps):
        return policy.share_at(step) < 1
    return step == 0 or policy.steps[step].share > policy.proof_above


def _of_step(rollout: Rollout, segments: Sequence[Segment]) -> list[Segment]:
    return [segment for segment in segments if segment.step == rollout.step]


def _cost(rollout: Rollout, segments: Sequence[Segment]) -> Figure:
    """The cost in this step only, because other splits have batches of other sizes."""
    here = _of_step(rollout, segments)
    baseline = sum((segment.baseline_cost for segment in here), Cost())
    candidate = sum((segment.candidate_cost for segment in here), Cost())
    figure = weigh_cost(baseline, candidate, rollout.policy.cheaper_by, concentration(here))
    return figure.model_copy(update={"safe_at": safe_at(rollout.policy.proof)})
