"""Compute the verdicts of a stored rollout again from their evidence. Pure."""

from collections.abc import Callable, Mapping

from serve.base.errors import CounterweightError
from serve.base.record import Record
from serve.base.routing import Routes
from serve.rollout.advance import abort, accept, advance, pause, promote, resume
from serve.rollout.judging.judge import judge
from serve.rollout.state.rollout import Rollout, routes_of
from serve.rollout.trail.growth import shrunk
from serve.rollout.trail.seal_key import SealKey
from serve.rollout.trail.trail import METHOD, Action, Change, Entry, broken_seals

# How acts of people are applied again.
_ACTIONS: Mapping[Action, Callable[[Rollout, Change], Rollout]] = {
    Action.PAUSE: lambda before, change: pause(before, change.by, _reason(change)),
    Action.RESUME: lambda before, change: resume(before, change.by, _reason(change)),
    Action.PROMOTE: lambda before, change: promote(before, change.by, change.at_s, _reason(change)),
    Action.ABORT: lambda before, change: abort(before, change.by, _reason(change)),
    Action.ACCEPT: lambda before, change: accept(before, change.by, _reason(change)),
}


class Replay(Record):
    """The result. Without faults, every byte is unchanged, and every verdict and step is the same."""

    rollout: str
    # The number of verdicts that were computed again.
    verdicts: int
    faults: tuple[str, ...]
    # Verdicts of an older method, which this version cannot compute again and does not check.
    older: int = 0


def replay(trail: tuple[Entry, ...], rollout: str, key: SealKey | None = None) -> Replay:
    """Compute every verdict and step of `rollout` again; `trail` is the whole trail of its model."""
    again = recompute(trail, rollout)
    return again.model_copy(update={"faults": (*broken_seals(trail, key), *again.faults)})


def recompute(trail: tuple[Entry, ...], rollout: str) -> Replay:
    """Like `replay`, without checking the seals."""
    faults: list[str] = []
    verdicts = older = 0
    before: Change | None = None
    routes: Routes | None = None
    for entry in trail:
        if entry.rollout != rollout and entry.revision is None:
            continue
        try:
            change = entry.change
            if entry.rollout == rollout:
                keyed = ":" in entry.digest
                differences = _compare(before, change, routes) + (_times(before, change) if keyed else [])
                faults += [f"entry {entry.number}: {fault}" for fault in differences]
        except CounterweightError as error:
            faults.append(f"entry {entry.number}: {error}")
            # The entries after a broken one depend on it.
            break
        routes = change.routes or routes
        if entry.rollout != rollout:
            continue
        if (judged := change.judged) is not None:
            verdicts += judged.method == METHOD
            older += judged.method != METHOD
        before = change if judged or before is None else change.model_copy(update={"judged": before.judged})
    return Replay(rollout=rollout, verdicts=verdicts, faults=tuple(faults), older=older)


def _compare(last: Change | None, change: Change, routes: Routes | None) -> list[str]:
    """How `change` differs from the result of applying it to `last`. Raises RefusedAction."""
    after = change.rollout
    assert after is not None
    faults = _routes(change, after, routes)
    if last is None or last.rollout is None:
        return faults if change.action is Action.START else [f"{change.action} before the start", *faults]
    before = last.rollout
    if before.phase.over and change.action is not Action.ACCEPT:
        return [f"{change.action} after the end, {before.phase}"]
    expected: Rollout | None = None
    if (judged := change.judged) is not None:
        verdict = judged.verdict
        if judged.method == METHOD:
            verdict = judge(before, judged.evidence, change.at_s)
        if verdict != judged.verdict:
            faults.append(
                f"the verdict is {verdict.kind} ({verdict.reason}) and was {judged.verdict.kind} "
                f"({judged.verdict.reason})"
            )
        if change.by != "judge":
            faults.append(f"a verdict is the judge's, and {change.by} gave this one")
        expected = advance(before, verdict, change.at_s)
    elif change.action in _ACTIONS:
        expected = _ACTIONS[change.action](before, change)
    elif change.action is Action.LIMIT:
        expected = _limited(before, after)
    if after != expected:
        faults.append(f"{change.action} led to {_place(after)}, and leads to {_place(expected)}")
    return faults


def _limited(before: Rollout, after: Rollout) -> Rollout:
    """`before` with those limits of `after` that it lacked."""
    limit_ms = after.limit_ms if before.limit_ms is None else before.limit_ms
    steady_ms = tuple(
        now if fixed is None else fixed for fixed, now in zip(before.steady_ms, after.steady_ms, strict=True)
    )
    return before.model_copy(update={"limit_ms": limit_ms, "steady_ms": steady_ms})


def _routes(change: Change, after: Rollout, before: Routes | None) -> list[str]:
    """How the routes differ from those that the rollout asks for."""
    if before is None:
        # The first entry of a trail; a keeper settles a model before anybody starts anything.
        return []
    expected = routes_of(after, before)
    if (now := change.routes or before) == expected:
        return []
    shares = (f"{100 * routes.share(after.plan.candidate):.4g} %" for routes in (now, expected))
    given, asked = shares
    return [
        f"the routes give the candidate {given}, and the rollout asks for {asked}: {_differ(now, expected)}"
    ]


def _differ(now: Routes, expected: Routes) -> str:
    """What is not as it should be."""
    names = [name for name in Routes.model_fields if getattr(now, name) != getattr(expected, name)]
    return ", ".join(f"{name} {getattr(now, name)} for {getattr(expected, name)}" for name in names)


def _times(last: Change | None, change: Change) -> list[str]:
    """What went back in time, or became less. What was written without a key may have had a clock that was
    set."""
    if last is None:
        return []
    faults = []
    if change.at_s < last.at_s:
        faults.append(f"it was done at {change.at_s:.3f}, before the entry that it follows ({last.at_s:.3f})")
    if change.judged is None or change.rollout is None:
        return faults
    evidence = change.judged.evidence
    begun_s = change.rollout.started_s
    if any(segment.started_s < begun_s or segment.ended_s > change.at_s for segment in evidence.segments):
        faults.append("its evidence is from another time")
    if last.judged is not None and (less := shrunk(last.judged.evidence, evidence)):
        faults.append(f"its evidence is less than that of the verdict before: {less}")
    return faults


def _reason(change: Change) -> str:
    assert change.rollout is not None
    return change.rollout.reason


def _place(rollout: Rollout | None) -> str:
    return "nothing" if rollout is None else f"{rollout.phase} at step {rollout.step} ({rollout.reason})"
