"""Gather the new counts of one model and judge its rollout, in memory and without the store."""

from collections.abc import Sequence
from threading import RLock

from serve.counting.census import Sheet
from serve.rollout.advance import advance
from serve.rollout.evidence.judged_time import Looked
from serve.rollout.judging.gather import gather
from serve.rollout.judging.judge import judge
from serve.rollout.judging.label_evidence import with_labels
from serve.rollout.model_state import Situation
from serve.rollout.state.rollout import Rollout
from serve.rollout.store.answered_requests import AnsweredRequest
from serve.rollout.trail.trail import METHOD, Action, Change, Judged
from serve.rollout.withdrawal import takes_away, with_routes


def look(situation: Situation, taking: RLock, now_s: float) -> None:
    """Gather and judge. A verdict that takes traffic away takes effect at once; any other is stored in
    `found` and takes effect when it is written. `taking` guards the situation; it is not held while
    judging."""
    with taking:
        rollout, before = situation.running, situation.era
    if rollout is None or not _gather(situation, taking, rollout, now_s):
        return
    with taking:
        rollout, evidence = situation.running, situation.present.evidence
    if rollout is None:
        return
    verdict = judge(rollout, evidence, now_s)
    after = advance(rollout, verdict, now_s)
    with taking:
        if situation.era != before or situation.running is not rollout:
            # A person has changed the rollout meanwhile; the next look judges the new state.
            return
        situation.judged = verdict, now_s
        change = Change(
            model=situation.model,
            action=Action.VERDICT,
            by="judge",
            at_s=now_s,
            rollout=after,
            judged=Judged(evidence=evidence, verdict=verdict, method=METHOD),
        )
        if takes_away(after):
            situation.go_ahead(with_routes(change, situation.routes))
        elif after is not rollout or situation.notable(evidence):
            situation.found = change


def _gather(situation: Situation, taking: RLock, rollout: Rollout, now_s: float) -> bool:
    """Add the new counts to the evidence in memory. Returns False if the evidence was restarted meanwhile."""
    with taking:
        era, evidence, labels = situation.era, situation.present.evidence, situation.labels
        matched = situation.matched
        splits, span = dict(situation.splits), (situation.ticked_s or now_s, now_s)
        sheets, situation.waiting = situation.waiting, []
        last_s = situation.looked_s
    try:
        gathered = gather(evidence, sheets, rollout.plan, splits, span) if sheets else evidence
        gathered = with_labels(gathered, labels, matched)
        looked = (gathered.looked or Looked()).on(rollout.entered_s, last_s, now_s)
        gathered = gathered.model_copy(update={"looked": looked})
        answers = _answers(situation, rollout, sheets, now_s)
    except BaseException:
        with taking:
            situation.waiting = sheets + situation.waiting
        raise
    with taking:
        if situation.era != era:
            return False
        situation.present = situation.present.model_copy(update={"evidence": gathered})
        situation.unnoted += answers
        situation.looked_s = now_s
        if sheets:
            situation.ticked_s = now_s
    return True


def _answers(
    situation: Situation, rollout: Rollout, sheets: Sequence[tuple[str, Sheet]], now_s: float
) -> list[AnsweredRequest]:
    """The requests in these sheets that may be labelled."""
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
        for _, sheet in sheets
        for request_id, (top, other) in sheet.copies.matched.items()
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
            top=sheet.tops.get(request_id),
        )
        for _, sheet in sheets
        for request_id, (revision, sticky, variant) in sheet.answered
        for step, split in [situation.splits.get(revision, (0, 0.0))]
        if step
    ]
