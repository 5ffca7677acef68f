"""Gather the new counts of one model and judge its rollout, in memory and without the store."""

from collections.abc import Sequence
from threading import RLock

from serve.counting.count_delta import CountDelta
from serve.rollout.advance import advance
from serve.rollout.evidence.judged_time import JudgedTime
from serve.rollout.judging.gather import gather
from serve.rollout.judging.judge import judge
from serve.rollout.judging.label_evidence import with_labels
from serve.rollout.model_state import ModelState
from serve.rollout.state.rollout import Rollout
from serve.rollout.store.answered_requests import AnsweredRequest
from serve.rollout.trail.trail import METHOD, Action, Change, Judged
from serve.rollout.withdrawal import takes_away, with_routes


def analyze(state: ModelState, lock: RLock, now_s: float) -> None:
    """Gather and judge. A verdict that takes traffic away takes effect at once; any other is stored in
    `verdict_change` and takes effect when it is written. `lock` guards the state; it is not held while
    judging."""
    with lock:
        rollout, before = state.running, state.era
    if rollout is None or not _gather(state, lock, rollout, now_s):
        return
    with lock:
        rollout, evidence = state.running, state.present.evidence
    if rollout is None:
        return
    verdict = judge(rollout, evidence, now_s)
    after = advance(rollout, verdict, now_s)
    with lock:
        if state.era != before or state.running is not rollout:
            # A person has changed the rollout meanwhile; the next look judges the new state.
            return
        state.judged = verdict, now_s
        change = Change(
            model=state.model,
            action=Action.VERDICT,
            by="judge",
            at_s=now_s,
            rollout=after,
            judged=Judged(evidence=evidence, verdict=verdict, method=METHOD),
        )
        if takes_away(after):
            state.go_ahead(with_routes(change, state.routes))
        elif after is not rollout or state.notable(evidence):
            state.verdict_change = change


def _gather(state: ModelState, lock: RLock, rollout: Rollout, now_s: float) -> bool:
    """Add the new counts to the evidence in memory. Returns False if the evidence was restarted meanwhile."""
    with lock:
        era, evidence, labels = state.era, state.present.evidence, state.labels
        matched = state.matched
        splits, span = dict(state.splits), (state.ticked_s or now_s, now_s)
        deltas, state.waiting = state.waiting, []
        last_s = state.looked_s
    try:
        gathered = gather(evidence, deltas, rollout.plan, splits, span) if deltas else evidence
        gathered = with_labels(gathered, labels, matched)
        looked = (gathered.looked or JudgedTime()).on(rollout.entered_s, last_s, now_s)
        gathered = gathered.model_copy(update={"looked": looked})
        answers = _answers(state, rollout, deltas, now_s)
    except BaseException:
        with lock:
            state.waiting = deltas + state.waiting
        raise
    with lock:
        if state.era != era:
            return False
        state.present = state.present.model_copy(update={"evidence": gathered})
        state.unnoted += answers
        state.looked_s = now_s
        if deltas:
            state.ticked_s = now_s
    return True


def _answers(
    state: ModelState, rollout: Rollout, deltas: Sequence[tuple[str, CountDelta]], now_s: float
) -> list[AnsweredRequest]:
    """The requests in these deltas that may be labelled."""
    shadow = [
        AnsweredRequest(
            request_id=request_id,
            rollout=rollout.rollout,
            step=0,
            split=0.0,
            sticky=False,
            candidate=False,
            at_s=now_s,
            top=top,
            other=other,
        )
        for _, delta in deltas
        for request_id, (top, other) in delta.copies.matched.items()
    ]
    return shadow + [
        AnsweredRequest(
            request_id=request_id,
            rollout=rollout.rollout,
            step=step,
            split=split,
            sticky=sticky,
            candidate=variant == rollout.plan.candidate,
            at_s=now_s,
            top=delta.tops.get(request_id),
        )
        for _, delta in deltas
        for request_id, (revision, sticky, variant) in delta.answered
        for step, split in [state.splits.get(revision, (0, 0.0))]
        if step
    ]
