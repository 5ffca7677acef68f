"""A story for tests: what happened to one model's traffic, each verdict by the real judge."""

from copy import copy
from functools import cache
from typing import Literal

from serve.base.routing import Routes
from serve.rollout.advance import advance, end_watch, pause, resume
from serve.rollout.evidence.evidence import Comparison, Evidence
from serve.rollout.judging.judge import judge
from serve.rollout.state.rollout import Plan, Rollout, start
from serve.rollout.trail.qualification import Qualification, QualificationView, view_of
from serve.rollout.trail.trail import METHOD, Action, Change, Entry, Judged, seal
from tests.serve.rollout.rollouts import segment, shadowed

# 2026-11-22, half past three in the afternoon, UTC.
NOW_S = 1_795_361_400.0
# How far the last rollout of a story has come.
Stage = Literal["shadow", "step", "watched", "done", "rolled back"]
# Of the baseline and of the candidate, at each step.
_HARMLESS = ((12, 0), (14, 1), (12, 2), (14, 1), (0, 4))


class Story:
    """A model's trail, written entry by entry; every moment is so many seconds before now."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        # The trail, and the same before it was sealed.
        self.entries: list[Entry] = []
        self.changes: list[Change] = []
        # What each rollout has seen so far.
        self.evidence: dict[str, Evidence] = {}
        routes = Routes(model=plan.model, baseline=plan.baseline, weights={plan.baseline: 1})
        self.set_routes(routes, "ann", 7200)

    @property
    def routes(self) -> Routes:
        """Those in force."""
        return next(change.routes for change in reversed(self.changes) if change.routes)

    @property
    def rollouts(self) -> dict[str, tuple[int, Rollout]]:
        """Every rollout as it stands, and the number of its last entry; newest last."""
        changes = enumerate(self.changes, 1)
        return {
            rollout.rollout: (number, rollout)
            for number, change in changes
            if (rollout := change.rollout) is not None
        }

    def set_routes(self, routes: Routes, by: str, ago_s: float = 0) -> None:
        """Other routes."""
        at_s = NOW_S - ago_s
        self._write(Change(model=self.plan.model, action=Action.ROUTES, by=by, at_s=at_s, routes=routes))

    def qualify(self, found: Qualification, by: str, ago_s: float = 0) -> QualificationView:
        """What was found of the candidate."""
        at_s = NOW_S - ago_s
        self._write(
            Change(model=self.plan.model, action=Action.QUALIFY, by=by, at_s=at_s, qualification=found)
        )
        return view_of(found, len(self.entries), by, at_s)

    def begin(self, name: str, plan: Plan, by: str, ago_s: float = 0) -> Rollout:
        """A rollout starts."""
        rollout = start(name, plan, 8.4, by, NOW_S - ago_s)
        self.evidence[name] = Evidence()
        return self.note(rollout, Action.START, by, ago_s)

    def judge(self, rollout: Rollout, evidence: Evidence, ago_s: float) -> Rollout:
        """The rollout after the verdict on this evidence."""
        verdict = judge(rollout, evidence, NOW_S - ago_s)
        self.evidence[rollout.rollout] = evidence
        after = advance(rollout, verdict, NOW_S - ago_s)
        return self.note(
            after, Action.VERDICT, "judge", ago_s, Judged(evidence=evidence, verdict=verdict, method=METHOD)
        )

    def note(
        self, after: Rollout, action: Action, by: str, ago_s: float = 0, judged: Judged | None = None
    ) -> Rollout:
        """The rollout after `action`, and the routes that follow from it."""
        shadows = {after.plan.candidate: after.shadow_share} if after.shadow_share else {}
        before = self.routes
        baseline = after.plan.candidate if after.accepted else before.baseline
        same = (baseline, after.weights, shadows) == (before.baseline, before.weights, before.shadows)
        update = {"baseline": baseline, "weights": after.weights, "shadows": shadows}
        change = Change(
            model=self.plan.model,
            action=action,
            by=by,
            at_s=NOW_S - ago_s,
            rollout=after,
            routes=None if same else before.model_copy(update={**update, "revision": before.revision + 1}),
            judged=judged,
        )
        self._write(change)
        return after

    def _write(self, change: Change) -> None:
        last = self.entries[-1].digest if self.entries else ""
        self.changes.append(change)
        self.entries.append(seal(change, len(self.entries) + 1, last))


def tell(model: str, baseline: str, candidate: str, stage: Stage) -> Story:
    """A rollout that failed in the shadow, and ten minutes ago another, which has come to `stage`."""
    story = copy(_told(model, baseline, candidate, stage))
    story.entries, story.changes = [*story.entries], [*story.changes]
    story.evidence = {**story.evidence}
    return story


# Once: the judge takes his time.
@cache
def _told(model: str, baseline: str, candidate: str, stage: Stage) -> Story:
    plan = Plan(model=model, baseline=baseline, candidate=candidate)
    story = Story(plan)
    failed = story.begin(f"{plan.model}-20261122-140000-81c0", plan, "ann", 5400)
    story.judge(failed, Evidence(shadow=shadowed(2000, 104)), 5280)
    rollout = story.begin(f"{plan.model}-20261122-152000-3f9a", plan, "ann", 600)
    shadow = Evidence(shadow=_compared(1000, 3), outputs={"y": _compared(1000, 3)}, dropped=4)
    if stage == "shadow":
        few = _compared(640, 9)
        slices = {"eu": _compared(420, 2), "us": _compared(220, 7)}
        story.evidence[rollout.rollout] = Evidence(shadow=few, outputs={"y": few}, slices=slices, dropped=17)
        return story
    rollout = story.judge(rollout, shadow, 540)
    rollout = story.note(pause(rollout, "bob"), Action.PAUSE, "bob", 500)
    rollout = story.note(resume(rollout, "bob"), Action.RESUME, "bob", 440)
    segments = [segment(step, 20_000, errors=errors) for step, errors in enumerate(_HARMLESS, 1)]
    for steps, ago_s in ((1, 330), (2, 260)):
        rollout = story.judge(rollout, shadow.model_copy(update={"segments": tuple(segments[:steps])}), ago_s)
    if stage in ("watched", "done"):
        for steps, ago_s in ((3, 190), (4, 120), (5, 50)):
            seen = shadow.model_copy(update={"segments": tuple(segments[:steps])})
            rollout = story.judge(rollout, seen, ago_s)
        if stage == "done":
            story.note(end_watch(rollout, "ann", "promoted"), Action.PROMOTE, "ann", 40)
        return story
    few_errors, many_errors = (4, 2), (4, 31)
    third = segment(3, 780, errors=few_errors if stage == "step" else many_errors)
    seen = shadow.model_copy(update={"segments": (*segments[:2], third)})
    story.evidence[rollout.rollout] = seen
    if stage == "rolled back":
        story.judge(rollout, seen, 20)
    return story


def _compared(pairs: int, disagreements: int) -> Comparison:
    return shadowed(pairs, disagreements) + Comparison(largest_difference=0.41)
