"""Advance: what a verdict, or a person, makes of a rollout. Pure; one step at a time, and an end is one."""

from serve.base.errors import RefusedAction
from serve.rollout.judging.judge import Kind, Verdict
from serve.rollout.state.rollout import Phase, Rollout


def advance(rollout: Rollout, verdict: Verdict, now_s: float) -> Rollout:
    """The rollout after `verdict`; the same object when nothing changes."""
    assert not rollout.phase.over
    change = {"by": "judge", "reason": verdict.reason}
    if verdict.kind is Kind.ROLLBACK:
        return rollout.model_copy(update={**change, "phase": Phase.ROLLED_BACK})
    if verdict.kind is Kind.INCONCLUSIVE:
        pauses = rollout.policy.inconclusive == "pause"
        if pauses and rollout.phase is Phase.PAUSED:
            return rollout
        phase = Phase.PAUSED if pauses else Phase.INCONCLUSIVE
        return rollout.model_copy(update={**change, "phase": phase})
    if verdict.kind is Kind.CONTINUE or rollout.phase not in (Phase.SHADOW, Phase.STEP, Phase.WATCHING):
        return rollout
    following = rollout.policy.steps[rollout.step : rollout.step + 1]
    if following and following[0].approval:
        return rollout.model_copy(update={**change, "phase": Phase.WAITING_APPROVAL})
    return _next(rollout, now_s, **change)


def pause(rollout: Rollout, by: str, reason: str = "paused") -> Rollout:
    """Stand still at the present share. Raises RefusedAction."""
    _refuse(rollout, "pause", Phase.SHADOW, Phase.STEP, Phase.WAITING_APPROVAL)
    return rollout.model_copy(update={"phase": Phase.PAUSED, "by": by, "reason": reason})


def resume(rollout: Rollout, by: str, reason: str = "resumed") -> Rollout:
    """Go on where it was paused; an approval that was due is asked for again. Raises RefusedAction."""
    _refuse(rollout, "resume", Phase.PAUSED)
    phase = Phase.STEP if rollout.step else Phase.SHADOW
    return rollout.model_copy(update={"phase": phase, "by": by, "reason": reason})


def promote(rollout: Rollout, by: str, now_s: float, reason: str | None = None) -> Rollout:
    """One step further without the evidence, or with the approval that was due; while all traffic is watched,
    the end of that. `reason` None: it says which. Raises RefusedAction."""
    _refuse(
        rollout, "promote", Phase.SHADOW, Phase.STEP, Phase.WAITING_APPROVAL, Phase.PAUSED, Phase.WATCHING
    )
    which = "approved" if rollout.phase is Phase.WAITING_APPROVAL else "promoted"
    return _next(rollout, now_s, by=by, reason=reason or which)


def end_watch(rollout: Rollout, by: str, reason: str) -> Rollout:
    """DONE before the watch is over, because something else begins. Raises RefusedAction."""
    _refuse(rollout, "end the watch of", Phase.WATCHING)
    return rollout.model_copy(update={"phase": Phase.DONE, "by": by, "reason": reason})


def abort(rollout: Rollout, by: str, reason: str = "aborted") -> Rollout:
    """All traffic to the baseline. Raises RefusedAction."""
    _refuse(rollout, "abort", Phase.SHADOW, Phase.STEP, Phase.WAITING_APPROVAL, Phase.PAUSED, Phase.WATCHING)
    return rollout.model_copy(update={"phase": Phase.ROLLED_BACK, "by": by, "reason": reason})


def accept(rollout: Rollout, by: str, reason: str = "accepted as the baseline") -> Rollout:
    """The candidate is the model's baseline from now on; while it is watched, that ends. Raises
    RefusedAction."""
    _refuse(rollout, "accept", Phase.DONE, Phase.WATCHING)
    if rollout.accepted:
        raise RefusedAction(
            f"{rollout.plan.candidate!r} was made the baseline by rollout {rollout.rollout} already; "
            "start the next rollout from it"
        )
    update = {"phase": Phase.DONE, "accepted": True, "by": by, "reason": reason}
    return rollout.model_copy(update=update)


def _next(rollout: Rollout, now_s: float, *, by: str, reason: str) -> Rollout:
    update: dict[str, object] = {"by": by, "reason": reason}
    if rollout.step < len(rollout.policy.steps):
        update |= {"phase": Phase.STEP, "step": rollout.step + 1, "entered_s": now_s}
    elif rollout.policy.watch_s and not rollout.watched:
        update |= {"phase": Phase.WATCHING, "entered_s": now_s}
    else:
        update |= {"phase": Phase.DONE, "accepted": rollout.policy.on_done == "become_baseline"}
    return rollout.model_copy(update=update)


def _refuse(rollout: Rollout, action: str, *phases: Phase) -> None:
    if rollout.phase not in phases:
        raise RefusedAction(
            f"cannot {action} rollout {rollout.rollout} in phase {rollout.phase}; "
            f"that is possible in {', '.join(phases)}"
        )
