"""Situation: what a keeper knows of one model's traffic, between two looks at the store."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from serve.control import RolloutLine
from serve.rollout.census import Disagreement, Sheet, Watch
from serve.rollout.evidence import Evidence
from serve.rollout.judge import Verdict
from serve.rollout.qualification import QualificationView, view_of
from serve.rollout.rollout import Rollout
from serve.rollout.store import Present
from serve.rollout.trail import Action, Change, Entry
from serve.rollout.views import rollout_line
from serve.routing import Routes

_SHOWN = 20
# Who writes the split that a server starts out with, and who takes out what is not loaded.
BY_SERVE = "serve"
BY_KEEPER = "keeper"
# A verdict that changes nothing is kept when the evidence has grown by so much since the last that was.
_GROWTH = 1.1


@dataclass(kw_only=True)
class Situation:
    """One model: what the store says is in force, and what came in since."""

    model: str
    # The repository's, or the one of the loaded variants that was accepted in its place last.
    baseline: str
    # Variant -> the digest of the version that is loaded.
    digests: Mapping[str, str]
    # Variants that may not be served, and why.
    rejected: Mapping[str, str] = field(default_factory=dict)
    # What a person asked for when the server was started; None: nothing.
    weights: Mapping[str, float] | None = None
    present: Present = field(
        default_factory=lambda: Present(number=0, routes=None, rollout=None, evidence=Evidence())
    )
    # Revision of routes -> the rollout's step and the candidate's share that they stand for.
    splits: dict[int, tuple[int, float]] = field(default_factory=dict)
    # Every rollout of the model there was, the newest last.
    lines: dict[str, RolloutLine] = field(default_factory=dict)
    # Every qualification of the model, oldest first.
    qualifications: list[QualificationView] = field(default_factory=list)
    # The last entry that changed something: what a person decided on must not be older.
    changed: int = 0
    # The last verdict, and the time it was asked for.
    judged: tuple[Verdict, float] | None = None
    # Whether anybody but the start of a server has decided on the routes.
    decided: bool = False
    # When the last tick ended.
    ticked_s: float = 0.0
    # How much evidence the last verdict had that was written down.
    weighed: int = 0
    # Gateway -> the number of its last sheet that came, and those that are in no evidence yet.
    came: dict[str, int] = field(default_factory=dict)
    waiting: list[tuple[str, Sheet]] = field(default_factory=list)
    disagreements: deque[Disagreement] = field(default_factory=lambda: deque(maxlen=_SHOWN))

    def __post_init__(self) -> None:
        self._stored_baseline = self.baseline

    @property
    def running(self) -> Rollout | None:
        """The rollout that is not over."""
        rollout = self.present.rollout
        return None if rollout is None or rollout.phase.over else rollout

    @property
    def routes(self) -> Routes:
        """What is in force; there is something once the model was settled."""
        assert self.present.routes is not None
        return self.present.routes

    @property
    def watch(self) -> Watch | None:
        """What gateways are to count."""
        rollout = self.running
        if rollout is None:
            return None
        return Watch(
            rollout=rollout.rollout,
            baseline=rollout.plan.baseline,
            candidate=rollout.plan.candidate,
            limit_ms=rollout.limit_ms,
            feedback=rollout.policy.guards.accuracy is not None,
        )

    def take(self, gateway: str, sheet: Sheet) -> None:
        """A gateway's sheet, which comes again until it is acknowledged."""
        if self.running is None or sheet.rollout != self.running.rollout:
            return
        if sheet.number > self.came.get(gateway, 0):
            self.came[gateway] = sheet.number
            self.waiting.append((gateway, sheet))
            self.disagreements.extendleft(sheet.disagreements)

    def recall(self, present: Present, trail: Iterable[Entry]) -> None:
        """What the store says. What had come and is in no evidence yet will come again."""
        self.present = Present(number=0, routes=None, rollout=None, evidence=Evidence())
        self.changed, self.decided, self.lines, self.qualifications = 0, False, {}, []
        self.baseline = self._stored_baseline
        for entry in trail:
            self.put(entry.number, entry.change)
        self.present = present
        self.came, self.waiting = dict(present.evidence.sheets), []

    def put(self, number: int, change: Change) -> bool:
        """A change is written down as this entry; whether it moved anything."""
        before = self.present.rollout
        moved = change.judged is None or change.rollout != before
        if change.qualification is not None:
            # What people decided on stands as it stood.
            moved = False
            self.qualifications.append(view_of(change.qualification, number, change.by, change.at_s))
        evidence = self.present.evidence
        if change.action is Action.START:
            evidence = Evidence()
            self.splits, self.came, self.waiting = {}, {}, []
            self.weighed, self.judged, self.ticked_s = 0, None, change.at_s
            self.disagreements.clear()
        if change.judged is not None:
            self.weighed = weight_of(change.judged.evidence)
            self.judged = change.judged.verdict, change.at_s
        if (
            (rollout := change.rollout) is not None
            and rollout.accepted
            and rollout.plan.candidate in self.digests
        ):
            self.baseline = rollout.plan.candidate
        if change.routes is not None:
            self.decided = change.by != BY_SERVE
            if change.rollout is not None:
                self.splits[change.routes.revision] = (change.rollout.step, change.rollout.share)
        if moved:
            self.changed = number
            if (rollout := change.rollout) is not None:
                self.lines[rollout.rollout] = rollout_line(rollout, change.at_s)
        self.present = Present(
            number=number,
            routes=change.routes or self.present.routes,
            rollout=change.rollout or before,
            evidence=evidence,
        )
        return moved

    def fault(self, rollout: Rollout) -> str | None:
        """Why the rollout cannot go on with what is loaded; None: it can."""
        for variant, digest in rollout.plan.digests.items():
            if variant not in self.digests:
                return f"{variant} is not loaded any more"
            if self.digests[variant] != digest:
                return f"{variant} was loaded in another version than the evidence is about"
        return None

    def notable(self, evidence: Evidence) -> bool:
        """Whether a verdict on this evidence is to be written down, though it changes nothing."""
        weight = weight_of(evidence)
        return weight > 0 and weight >= _GROWTH * self.weighed


def weight_of(evidence: Evidence) -> int:
    """How many requests and pairs the evidence holds."""
    return evidence.shadow.pairs + sum(segment.requests.both for segment in evidence.segments)


def mended(situation: Situation) -> Routes:
    """The routes that can be in force with what is loaded: those that somebody decided on, or else the split
    that the server starts out with."""
    baseline, loaded, before = situation.baseline, situation.digests, situation.present.routes
    start = before is None or (not situation.decided and situation.weights is not None)
    asked = situation.weights if start else before and before.weights
    weights = {baseline: 0.0} | {name: weight for name, weight in (asked or {}).items() if name in loaded}
    if not any(weights.values()):
        weights[baseline] = 100.0
    if before is None:
        return Routes(model=situation.model, baseline=baseline, weights=weights)
    shadows = {
        name: share
        for name, share in before.shadows.items()
        if name in loaded and name != baseline and not weights.get(name)
    }
    if (before.baseline, before.weights, before.shadows) == (baseline, weights, shadows):
        return before
    return Routes(
        model=situation.model,
        baseline=baseline,
        weights=weights,
        shadows=shadows,
        sticky=before.sticky,
        revision=before.revision + 1,
    )
