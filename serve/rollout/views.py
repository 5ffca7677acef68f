"""Views of rollouts and trails for people and programs. Pure."""

from collections.abc import Iterable, Sequence

from serve.base.url import parse_url
from serve.counting.count_delta import Disagreement
from serve.rollout.api_records import RolloutLine, RolloutView, TrailLine
from serve.rollout.evidence.evidence import Evidence
from serve.rollout.judging.advice import advise
from serve.rollout.judging.judge import Verdict
from serve.rollout.state.rollout import Rollout
from serve.rollout.store.store import Present
from serve.rollout.trail.qualification import QualificationView
from serve.rollout.trail.qualification import view_of as qualification_view
from serve.rollout.trail.trail import Change, Entry


def view_of(
    present: Present, judged: tuple[Verdict, float] | None, disagreements: Iterable[Disagreement] = ()
) -> RolloutView:
    """The state of a rollout; `judged` is the last verdict and its time."""
    rollout, routes, evidence = present.rollout, present.routes, present.evidence
    assert rollout is not None
    assert routes is not None
    here = [
        segment.requests
        for segment in evidence.segments
        if (segment.step, segment.split) == (rollout.step, rollout.share)
    ]
    both = sum(pair.both for pair in here)
    return RolloutView(
        rollout=_discreet(rollout),
        number=present.number,
        routes=routes,
        evidence=evidence,
        verdict=judged[0] if judged else None,
        judged_s=judged[1] if judged else None,
        served=sum(pair.candidate for pair in here) / both if both else None,
        disagreements=tuple(disagreements),
        advice=advise(rollout, judged[0], evidence, judged[1]) if judged else (),
    )


def line_of(number: int, digest: str, change: Change) -> TrailLine:
    """An entry of the trail without its evidence."""
    rollout, judged = change.rollout, change.judged
    return TrailLine(
        number=number,
        action=change.action,
        by=change.by,
        at_s=change.at_s,
        digest=digest,
        rollout=rollout.rollout if rollout else None,
        phase=rollout.phase if rollout else None,
        step=rollout.step if rollout else None,
        share=rollout.share if rollout else None,
        routes=change.routes,
        kind=judged.verdict.kind if judged else None,
        reason=_reason_of(change),
        verdict=judged.verdict if judged else None,
    )


def _reason_of(change: Change) -> str:
    if change.judged is not None:
        return change.judged.verdict.reason
    if change.qualification is not None:
        return change.qualification.sentence()
    return change.rollout.reason if change.rollout is not None else "routes were set"


def lines_of(trail: Iterable[Entry]) -> tuple[TrailLine, ...]:
    """Entries of the trail without their evidence."""
    return tuple(line_of(entry.number, entry.digest, entry.change) for entry in trail)


def rollouts_of(trail: Iterable[Entry]) -> tuple[RolloutLine, ...]:
    """Every rollout in a model's trail, newest first."""
    last: dict[str, tuple[Rollout, float]] = {}
    for entry in trail:
        rollout, at_s = entry.change.rollout, entry.change.at_s
        if rollout is None:
            continue
        known = last.pop(rollout.rollout, None)
        same = known is not None and known[0] == rollout
        last[rollout.rollout] = known if known is not None and same else (rollout, at_s)
    return tuple(rollout_line(rollout, at_s) for rollout, at_s in reversed(last.values()))


def qualifications_of(trail: Iterable[Entry]) -> tuple[QualificationView, ...]:
    """Every qualification in a model's trail, oldest first."""
    changes = ((entry.number, entry.change) for entry in trail)
    return tuple(
        qualification_view(change.qualification, number, change.by, change.at_s)
        for number, change in changes
        if change.qualification is not None
    )


def past(trail: Sequence[Entry], rollout: str) -> RolloutView:
    """The state of a past rollout, from its last entries."""
    changes = [(entry.number, entry.change) for entry in trail if entry.rollout == rollout]
    routes = [change.routes for _, change in changes if change.routes is not None]
    judged = [(change.judged, change.at_s) for _, change in changes if change.judged is not None]
    number, last = changes[-1]
    evidence = judged[-1][0].evidence if judged else Evidence()
    present = Present(number=number, routes=routes[-1], rollout=last.rollout, evidence=evidence)
    return view_of(present, (judged[-1][0].verdict, judged[-1][1]) if judged else None)


def _discreet(rollout: Rollout) -> Rollout:
    """Remove the parts of the webhook's URL that may be secret."""
    if (webhook := rollout.policy.webhook) is None:
        return rollout
    url = parse_url(webhook)
    policy = rollout.policy.model_copy(update={"webhook": f"{url.scheme}://{url.netloc.rpartition('@')[2]}/"})
    return rollout.model_copy(update={"plan": rollout.plan.model_copy(update={"policy": policy})})


def rollout_line(rollout: Rollout, changed_s: float) -> RolloutLine:
    """A rollout in a list; `changed_s` is the time of its last change."""
    return RolloutLine(
        rollout=rollout.rollout,
        candidate=rollout.plan.candidate,
        phase=rollout.phase,
        step=rollout.step,
        started_s=rollout.started_s,
        by=rollout.by,
        changed_s=changed_s,
        reason=rollout.reason,
    )
