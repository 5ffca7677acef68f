"""Carry: what earlier rollouts of the same two versions have seen counts in the next one. Pure.

Who starts again until chance promotes a bad candidate would have as many chances as starts."""

from collections.abc import Sequence

from serve.base.errors import RefusedAction
from serve.base.record import Record
from serve.rollout.evidence.evidence import Carried, Events, Evidence, Pair, Segment
from serve.rollout.judging.judge import Kind, judge
from serve.rollout.state.rollout import Phase, Rollout, RolloutPlan
from serve.rollout.trail.trail import Action, Change, Entry


class Earlier(Record):
    """The last rollout of the same two versions, and all that it knew."""

    rollout: Rollout
    evidence: Evidence


def find_earlier(trail: Sequence[Entry], begun: Rollout) -> Earlier | None:
    """What `begun` goes on from; `trail` is its model's, oldest first. None: there was no such rollout, or it
    was promoted, and what comes after that is another question."""
    last: Rollout | None = None
    others: set[str] = set()
    for entry in reversed(trail):
        if entry.rollout is None or entry.rollout in others:
            continue
        if last is not None and entry.rollout != last.rollout:
            # It was never judged.
            return Earlier(rollout=last, evidence=Evidence())
        change = entry.change
        assert change.rollout is not None
        if last is None and not _alike(change.rollout, begun):
            others.add(entry.rollout)
            continue
        last = last or change.rollout
        if last.phase is Phase.DONE:
            return None
        if change.judged is not None:
            return Earlier(rollout=last, evidence=change.judged.evidence)
        if change.carried is not None:
            return Earlier(rollout=last, evidence=Evidence(carried=change.carried))
    return None if last is None else Earlier(rollout=last, evidence=Evidence())


def begin(begun: Rollout, trail: Sequence[Entry], *, fresh: bool) -> Change:
    """The start of a rollout with what was seen before, unless it is to be `fresh`. Raises RefusedAction when
    that shows harm already."""
    earlier, carried, reason = find_earlier(trail, begun), None, begun.reason
    if earlier is not None and fresh:
        reason = f"started afresh, without the evidence of {earlier.rollout.rollout}"
    elif earlier is not None and (carried := take_up(earlier, begun)) is not None:
        reason = f"started, with the evidence of {earlier.rollout.rollout}"
    return Change(
        model=begun.plan.model,
        action=Action.START,
        by=begun.by,
        at_s=begun.started_s,
        rollout=begun.model_copy(update={"reason": reason}),
        carried=carried,
    )


def take_up(earlier: Earlier, begun: Rollout) -> Carried | None:
    """What counts of `earlier` in the rollout that begins; None: nothing does. Raises RefusedAction when it
    shows harm: the rollout would end with its first look."""
    known = earlier.evidence.known
    segments = tuple(segment for segment in known.segments if segment.split < 1)
    if earlier.rollout.limit_ms != begun.limit_ms:
        # What was over one limit may be within another; the quantiles' limits move anyway.
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
    # As it was then: a stall that was under way may be why it ended.
    seen = Evidence(**{name: getattr(carried, name) for name in Carried.model_fields})
    verdict = judge(begun, seen, begun.started_s)
    if verdict.kind is Kind.ROLLBACK:
        raise RefusedAction(
            f"rollout {earlier.rollout.rollout} has seen enough of the same two versions: {verdict.reason}; "
            "load a better candidate or, if something else was the cause, start with --fresh, which leaves "
            "it out and says so in the trail"
        )
    return carried if carried.segments or carried.shadow.pairs else None


def _without_limit(segment: Segment) -> Segment:
    courses = {kind: numbers for kind, numbers in segment.courses.items() if kind != "over_limit"}
    return segment.model_copy(update={"timed": Pair(), "over_limit": Events(), "courses": courses})


def _alike(one: Rollout, other: Rollout) -> bool:
    """Whether they are of the same two versions, whatever these are called, and both under real traffic."""
    mine, its = one.plan, other.plan
    return _versions(mine) == _versions(its) and not mine.trial and not its.trial


def _versions(plan: RolloutPlan) -> tuple[str, str]:
    """The digests of baseline and candidate; or their names, where it was not written down."""
    return plan.digests.get(plan.baseline, plan.baseline), plan.digests.get(plan.candidate, plan.candidate)
