"""Replay: a stored rollout computed once more from its evidence. Pure."""

from collections.abc import Callable, Mapping

from serve.errors import CounterweightError
from serve.record import Record
from serve.rollout.advance import abort, accept, advance, pause, promote, resume
from serve.rollout.judge import judge
from serve.rollout.rollout import Rollout
from serve.rollout.trail import Action, Change, Entry, broken_seals

# What a person can do, as it is done again.
_ACTIONS: Mapping[Action, Callable[[Rollout, Change], Rollout]] = {
    Action.PAUSE: lambda before, change: pause(before, change.by, _reason(change)),
    Action.RESUME: lambda before, change: resume(before, change.by, _reason(change)),
    Action.PROMOTE: lambda before, change: promote(before, change.by, change.at_s, _reason(change)),
    Action.ABORT: lambda before, change: abort(before, change.by, _reason(change)),
    Action.ACCEPT: lambda before, change: accept(before, change.by, _reason(change)),
}


class Replay(Record):
    """What came of it. No fault: every byte is as written, and every verdict and step comes out the same."""

    rollout: str
    # How many were computed again.
    verdicts: int
    faults: tuple[str, ...]


def replay(trail: tuple[Entry, ...], rollout: str) -> Replay:
    """Compute every verdict and every step of `rollout` again; `trail` is its model's, whole."""
    faults = list(broken_seals(trail))
    verdicts = 0
    before: Rollout | None = None
    for entry in trail:
        if entry.rollout != rollout:
            continue
        try:
            change = entry.change
            faults += [f"entry {entry.number}: {fault}" for fault in _compare(before, change)]
        except CounterweightError as error:
            faults.append(f"entry {entry.number}: {error}")
            # What follows a broken entry was decided on one that is not known.
            break
        verdicts += change.judged is not None
        before = change.rollout
    return Replay(rollout=rollout, verdicts=verdicts, faults=tuple(faults))


def _compare(before: Rollout | None, change: Change) -> list[str]:
    """How `change` differs from what it makes of `before` now. Raises RefusedAction."""
    after = change.rollout
    assert after is not None
    if before is None:
        return [] if change.action is Action.START else [f"{change.action} before the start"]
    if before.phase.over and change.action is not Action.ACCEPT:
        return [f"{change.action} after the end, {before.phase}"]
    faults = []
    expected: Rollout | None = None
    if change.judged is not None:
        verdict = judge(before, change.judged.evidence, change.at_s)
        if verdict != change.judged.verdict:
            faults.append(
                f"the verdict is {verdict.kind} ({verdict.reason}) and was {change.judged.verdict.kind} "
                f"({change.judged.verdict.reason})"
            )
        expected = advance(before, verdict, change.at_s)
    elif change.action in _ACTIONS:
        expected = _ACTIONS[change.action](before, change)
    elif change.action is Action.LIMIT and before.limit_ms is None:
        expected = before.model_copy(update={"limit_ms": after.limit_ms})
    if after != expected:
        faults.append(f"{change.action} led to {_place(after)}, and leads to {_place(expected)}")
    return faults


def _reason(change: Change) -> str:
    assert change.rollout is not None
    return change.rollout.reason


def _place(rollout: Rollout | None) -> str:
    return "nothing" if rollout is None else f"{rollout.phase} at step {rollout.step} ({rollout.reason})"
