"""Carry the evidence of earlier rollouts of the same two versions into the next one. Pure.

Otherwise a person could restart a bad candidate until chance promotes it."""

from collections.abc import Sequence

from serve.base.errors import RefusedAction
from serve.base.record import Record
from serve.rollout.evidence.evidence import Carried, Events, Evidence, Pair, Segment
from serve.rollout.judging.judge import Kind, judge
from serve.rollout.state.rollout import Phase, Rollout, RolloutPlan
from serve.rollout.trail.trail import Action, Change, Entry


class EarlierRollout(Record):
    """The last rollout of the same two versions, with all its evidence."""

    rollout: Rollout
    evidence: Evidence


def find_earlier(trail: Sequence[Entry], begun: Rollout) -> EarlierRollout | None:
    """The rollout that `begun` continues; `trail` is its model's, oldest first. None if there is none, or if
    it was promoted, because what follows a promotion is a new question."""
    last: Rollout | None = None
    others: set[str] = set()
    for entry in reversed(trail):
        if entry.rollout is None or entry.rollout in others:
            continue
        if last is not None and entry.rollout != last.rollout:
            # It was never judged.
            return EarlierRollout(rollout=last, evidence=Evidence())
        change = entry.change
        assert change.rollout is not None
        if last is None and not _alike(change.rollout, begun):
            others.add(entry.rollout)
            continue
        last = last or change.rollout
        if last.phase is Phase.DONE:
            return None
        if change.judged is not None:
            return EarlierRollout(rollout=last, evidence=change.judged.evidence)
        if change.carried is not None:
            return EarlierRollout(rollout=last, evidence=Evidence(carried=change.carried))
    return None if last is None else EarlierRollout(rollout=last, evidence=Evidence())


def begin(begun: Rollout, trail: Sequence[Entry], *, fresh: bool) -> Change:
    """The first change of a rollout, with the earlier evidence unless it is `fresh`. Raises RefusedAction if
    the evidence already shows harm."""
    earlier, carried, reason = find_earlier(trail, begun), None, begun.reason
    if earlier is not None and fresh:
        reason = f"started afresh, without the evidence of {earlier.rollout.rollout}"
    elif earlier is not None and (carried := carry_over(earlier, begun)) is not None:
        reason = f"started, with the evidence of {earlier.rollout.rollout}"
    return Change(
        model=begun.plan.model,
        action=Action.START,
        by=begun.by,
        at_s=begun.started_s,
        rollout=begun.model_copy(update={"reason": reason}),
        carried=carried,
    )


def carry_over(earlier: EarlierRollout, begun: Rollout) -> Carried | None:
    """The evidence of `earlier` that counts in the new rollout; None if there is none. Raises RefusedAction
    if it shows harm, because the rollout would end with its first look."""
    known = earlier.evidence.known
    segments = tuple(segment for segment in known.segments if segment.split < 1)
    if earlier.rollout.limit_ms != begun.limit_ms:
        # Requests over one limit may be within another. Limits by quantile move in any case.
        segments = tuple(_without_limit(segment) for segment in segments)
    carried = Carried(
        segments=segments,
        shadow=known.shadow,
        outputs=known.outputs,
        slices=known.slices,
        matched=known.matched,
        classes=known.classes,
        deaths=known.deaths,
        before=known.before,
        past=known.past,
    )
    # With its stalls as they were, because one may be the reason why the rollout ended.
    seen = Evidence(**{name: getattr(carried, name) for name in Carried.model_fields})
    verdict = judge(begun, seen, begun.started_s)
    if verdict.kind is Kind.ROLLBACK:
        raise RefusedAction(
            f"the evidence of rollout {earlier.rollout.rollout} already shows harm for the same two "
            f"versions: {verdict.reason}; load a better candidate or, if something else was the cause, start "
            "with --fresh, which ignores this evidence and says so in the trail"
        )
    return carried if carried.segments or carried.shadow.pairs else None


def _without_limit(segment: Segment) -> Segment:
    courses = {kind: numbers for kind, numbers in segment.courses.items() if kind != "over_limit"}
    return segment.model_copy(update={"timed": Pair(), "over_limit": Events(), "courses": courses})


def _alike(one: Rollout, other: Rollout) -> bool:
    """Whether both rollouts are about the same two versions, whatever their names, and had real traffic."""
    mine, its = one.plan, other.plan
    return _versions(mine) == _versions(its) and not mine.trial and not its.trial


def _versions(plan: RolloutPlan) -> tuple[str, str]:
    """The digests of baseline and candidate; or their names, if the digests were not stored."""
    return plan.digests.get(plan.baseline, plan.baseline), plan.digests.get(plan.candidate, plan.candidate)
