"""Situation: what a keeper knows of one model's traffic, between two looks at the store."""

import logging
from collections import deque
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field

from serve.base.routing import Routes
from serve.bundles.unserved import Unserved
from serve.counting.census import Disagreement, Sheet, Watch
from serve.counting.quantiles import NO_LIMITS, Limits
from serve.rollout.api_records import RolloutLine
from serve.rollout.distrust import all_to_baseline
from serve.rollout.evidence.evidence import Evidence, Segment
from serve.rollout.evidence.matched import Matched
from serve.rollout.judging.judge import Verdict
from serve.rollout.judging.label_evidence import with_labels
from serve.rollout.state.rollout import Rollout, watch_of
from serve.rollout.store.answered_requests import AnsweredRequest
from serve.rollout.store.store import Present
from serve.rollout.trail.qualification import QualificationView, view_of
from serve.rollout.trail.trail import Action, Change, Entry
from serve.rollout.views import rollout_line
from serve.rollout.withdrawal import on_top

_log = logging.getLogger("counterweight.controller")
_SHOWN = 20
_NOTHING = Present(number=0, routes=None, rollout=None, evidence=Evidence())
# Who writes the split that a server starts out with.
BY_SERVE = "serve"
# A verdict that changes nothing is kept when the evidence has grown by so much since the last that was.
_GROWTH = 1.1


@dataclass(kw_only=True)
class Situation:
    """One model: what is in force, as the store says it, and what came in since.

    What takes traffic away is in force before the store has it (`ahead`); nothing else is."""

    model: str
    # The repository's, or the one of the loaded variants that was accepted in its place last.
    baseline: str
    # Variant -> the digest of the version that is loaded.
    digests: Mapping[str, str]
    unserved: Unserved = field(default_factory=Unserved)
    # Variants that nobody has measured on held-out rows.
    unproven: Set[str] = frozenset()
    # What a person asked for when the server was started; None: nothing.
    weights: Mapping[str, float] | None = None
    present: Present = _NOTHING
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
    # When the last tick ended; and when this keeper looked last, or took it up.
    ticked_s: float = 0.0
    looked_s: float = 0.0
    # Processes that each variant's requests are spread over.
    replicas: int = 1
    # How much evidence the last verdict had that was written down.
    weighed: int = 0
    # Gateway -> the number of its last sheet that came, and those that are in no evidence yet.
    came: dict[str, int] = field(default_factory=dict)
    waiting: list[tuple[str, Sheet]] = field(default_factory=list)
    # The limits that follow the baseline, and the step and the time they were last renewed at.
    quantile_limits_ms: Limits = NO_LIMITS
    limited: tuple[int, float] = (-1, 0.0)
    disagreements: deque[Disagreement] = field(default_factory=lambda: deque(maxlen=_SHOWN))
    # What is in force here and not written yet, and what was in force without it.
    ahead: Change | None = None
    behind: Present | None = None
    # What the last look makes of the rollout, to be written.
    found: Change | None = None
    # Why the trail is not to be trusted; while there is anything, all traffic is the baseline's.
    faults: tuple[str, ...] = ()
    # Counts up whenever the evidence begins anew.
    era: int = 0
    # The evidence that the store has.
    kept: Evidence = _NOTHING.evidence
    # Requests that feedback may come for, which the store does not have yet.
    unnoted: list[AnsweredRequest] = field(default_factory=list)
    # All labels of the rollout, as the store had them when they were read last; and whether it has more.
    labels: tuple[Segment, ...] = ()
    matched: Mapping[int, Matched] | None = None
    labels_due: bool = True

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
        return None if self.running is None else watch_of(self.running, self.quantile_limits_ms)

    def take(self, gateway: str, sheet: Sheet) -> bool:
        """A gateway's sheet, which comes again until it is acknowledged; whether it must."""
        if self.running is None or sheet.rollout != self.running.rollout:
            return False
        if sheet.number > self.came.get(gateway, 0):
            self.came[gateway] = sheet.number
            self.waiting.append((gateway, sheet))
            self.disagreements.extendleft(sheet.disagreements)
        return sheet.number > self.written.get(gateway, 0)

    @property
    def whole(self) -> Evidence:
        """The evidence with the labels that the next look will add to it."""
        return with_labels(self.present.evidence, self.labels, self.matched)

    def recall(self, present: Present, trail: Iterable[Entry], now_s: float) -> None:
        """What the store says. What had come and is in no evidence yet will come again, and what went ahead
        is put on top."""
        ahead, self.ahead, self.behind, self.faults = self.ahead, None, None, ()
        self.present, self.baseline = _NOTHING, self._stored_baseline
        self.changed, self.decided, self.lines, self.qualifications = 0, False, {}, []
        for entry in trail:
            self.put(entry.number, entry.change)
        self._restart(present.evidence)
        self.present, self.looked_s = present, now_s
        self.go_on_top(ahead, now_s)

    def distrust(self, present: Present | None, faults: tuple[str, ...]) -> None:
        """What the store says is not what was written: all traffic to the baseline, and nothing else until a
        person has looked."""
        now = all_to_baseline(self.model, self.baseline, present, faults)
        self.faults, self.ahead, self.behind, self.changed = faults, None, None, now.number
        if (rollout := now.rollout) is not None:
            self.lines = {rollout.rollout: rollout_line(rollout, rollout.entered_s)}
        self._restart(now.evidence)
        self.present = now

    def put(self, number: int, change: Change) -> bool:
        """A change is written down as this entry; whether it moved anything. What went ahead of it meanwhile
        stays in force."""
        ahead, self.ahead = self.ahead, None
        if self.behind is not None:
            self.present = self.behind.model_copy(update={"evidence": self.present.evidence})
            self.behind = None
        if moved := self._apply(number, change):
            self.changed = number
        if ahead is not change:
            self.go_on_top(ahead, change.at_s)
        return moved

    def go_ahead(self, change: Change) -> None:
        """This takes traffic away: in force from now on, and still to be written."""
        self.ahead, self.behind, self.found = change, self.present, None
        self._apply(self.present.number, change)

    def go_on_top(self, ahead: Change | None, now_s: float) -> None:
        """What went ahead of an older state is put on top of this one, as far as there is anything to do."""
        if ahead is None or self.present.routes is None:
            return
        change = on_top(ahead, self.present.rollout, self.present.routes, now_s)
        if change is None:
            _log.warning("%s: dropped %s by %s, for it is over", self.model, ahead.action, ahead.by)
        else:
            self.go_ahead(change)

    @property
    def written(self) -> Mapping[str, int]:
        """Gateway -> the number of its last sheet that is in the store's evidence."""
        return self.kept.sheets

    def _restart(self, evidence: Evidence) -> None:
        """Go on from this evidence, which is in the store."""
        self.era += 1
        self.came, self.waiting = dict(evidence.sheets), []
        self.found, self.unnoted, self.labels, self.labels_due = None, [], (), True
        self.matched = None
        self.kept = evidence

    def _apply(self, number: int, change: Change) -> bool:
        before = self.present.rollout
        moved = change.judged is None or change.rollout != before
        if change.qualification is not None:
            # What people decided on stands as it stood.
            moved = False
            self.qualifications.append(view_of(change.qualification, number, change.by, change.at_s))
        evidence = self.present.evidence
        if change.action is Action.START:
            evidence = Evidence(carried=change.carried)
            self._restart(evidence)
            self.splits, self.weighed, self.judged = {}, 0, None
            self.ticked_s = self.looked_s = change.at_s
            self.quantile_limits_ms, self.limited = NO_LIMITS, (-1, 0.0)
            self.disagreements.clear()
        if change.judged is not None:
            self.weighed = weight_of(change.judged.evidence)
            self.judged = change.judged.verdict, change.at_s
        rollout = change.rollout
        if rollout is not None and rollout.accepted and rollout.plan.candidate in self.digests:
            self.baseline = rollout.plan.candidate
        if change.routes is not None:
            self.decided = change.by != BY_SERVE
            if rollout is not None:
                share = change.routes.share(rollout.plan.candidate)
                self.splits[change.routes.revision] = (rollout.step, share)
        if moved and rollout is not None:
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
        return next(filter(None, (self.strange(rollout, name) for name in rollout.plan.digests)), None)

    def strange(self, rollout: Rollout, variant: str) -> str | None:
        """Why what is loaded of one variant is not what the rollout is about; None: it is."""
        if variant not in self.digests:
            return f"{variant} is not loaded any more"
        if self.digests[variant] != rollout.plan.digests.get(variant, self.digests[variant]):
            return f"{variant} was loaded in another version than the evidence is about"
        return None

    def notable(self, evidence: Evidence) -> bool:
        """Whether a verdict on this evidence is to be written down, though it changes nothing."""
        return weight_of(evidence) >= max(_GROWTH * self.weighed, 1)


def weight_of(evidence: Evidence) -> int:
    """How many requests and pairs the evidence holds."""
    return evidence.shadow.pairs + sum(segment.requests.both for segment in evidence.segments)
