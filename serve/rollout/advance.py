"""Apply a verdict or an act of a person to a rollout. Pure."""

from serve.base.errors import RefusedAction
from serve.rollout.judging.judge import Kind, Verdict
from serve.rollout.state.rollout import Phase, Rollout


def advance(rollout: Rollout, verdict: Verdict, now_s: float) -> Rollout:
    """The rollout after `verdict`; the same object if nothing changes."""
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
    """Keep the present share. Raises RefusedAction."""
    _refuse(rollout, "pause", Phase.SHADOW, Phase.STEP, Phase.WAITING_APPROVAL)
    return rollout.model_copy(update={"phase": Phase.PAUSED, "by": by, "reason": reason})


def resume(rollout: Rollout, by: str, reason: str = "resumed") -> Rollout:
    """Continue a paused rollout; an approval that was due is due again. Raises RefusedAction."""
    _refuse(rollout, "resume", Phase.PAUSED)
    phase = Phase.STEP if rollout.step else Phase.SHADOW
    return rollout.model_copy(update={"phase": phase, "by": by, "reason": reason})


def promote(rollout: Rollout, by: str, now_s: float, reason: str | None = None) -> Rollout:
    """Go to the next step without the evidence, or with the approval that is due; end the watch if it is
    under way. If `reason` is None, it says which. Raises RefusedAction."""
    _refuse(
        rollout, "promote", Phase.SHADOW, Phase.STEP, Phase.WAITING_APPROVAL, Phase.PAUSED, Phase.WATCHING
    )
    which = "approved" if rollout.phase is Phase.WAITING_APPROVAL else "promoted"
    return _next(rollout, now_s, by=by, reason=reason or which)


def end_watch(rollout: Rollout, by: str, reason: str) -> Rollout:
    """Set the phase to DONE before the watch is over, because something else begins. Raises RefusedAction."""
    _refuse(rollout, "end the watch of", Phase.WATCHING)
    return rollout.model_copy(update={"phase": Phase.DONE, "by": by, "reason": reason})


def abort(rollout: Rollout, by: str, reason: str = "aborted") -> Rollout:
    """Give all traffic to the baseline. Raises RefusedAction."""
    _refuse(rollout, "abort", Phase.SHADOW, Phase.STEP, Phase.WAITING_APPROVAL, Phase.PAUSED, Phase.WATCHING)
    return rollout.model_copy(update={"phase": Phase.ROLLED_BACK, "by": by, "reason": reason})


def accept(rollout: Rollout, by: str, reason: str = "accepted as the baseline") -> Rollout:
    """Make the candidate the model's baseline, and end the watch if it is under way. Raises
    RefusedAction."""
    _refuse(rollout, "accept", Phase.DONE, Phase.WATCHING)
    if rollout.accepted:
        raise RefusedAction(
            f"rollout {rollout.rollout} has already made {rollout.plan.candidate!r} the baseline; "
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
            f"this is possible only in {', '.join(phases)}"
        )
