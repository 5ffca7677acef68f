"""The state of one model's traffic in a keeper's memory."""

import logging
from collections import deque
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field

from serve.base.routing import Routes
from serve.bundles.meaning import Task
from serve.bundles.unserved import Unserved
from serve.counting.count_delta import CountDelta, Disagreement
from serve.counting.quantiles import NO_LIMITS, Limits
from serve.counting.rollout_counter import Watch
from serve.rollout.api_records import RolloutLine
from serve.rollout.broken_trail import all_to_baseline
from serve.rollout.evidence.evidence import Evidence, Segment
from serve.rollout.evidence.matched_pairs import MatchedPairs
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
# The name in the trail for the initial split of a server.
BY_SERVE = "serve"
# A verdict that changes nothing is written when the evidence has grown by this factor since the last one.
_GROWTH = 1.1


@dataclass(kw_only=True)
class ModelState:
    """The state of one model: the stored state, and what has arrived since.

    Only a change that takes traffic away (`ahead`) takes effect before the store has it."""

    model: str
    # The repository's baseline, or the loaded variant that was last accepted in its place.
    baseline: str
    # Variant -> the digest of the loaded version.
    digests: Mapping[str, str]
    unserved: Unserved = field(default_factory=Unserved)
    # What the model's answers mean.
    task: Task = "classification"
    # Variants that have not been measured on held-out rows.
    unproven: Set[str] = frozenset()
    # The weights on the command line of the server; None: none.
    weights: Mapping[str, float] | None = None
    present: Present = _NOTHING
    # Revision of routes -> the step of the rollout and the candidate's share.
    splits: dict[int, tuple[int, float]] = field(default_factory=dict)
    # All rollouts of the model, the newest last.
    lines: dict[str, RolloutLine] = field(default_factory=dict)
    # Every qualification of the model, oldest first.
    qualifications: list[QualificationView] = field(default_factory=list)
    # The last entry that changed something; an act based on an older one is refused.
    changed: int = 0
    # The last verdict and its time.
    judged: tuple[Verdict, float] | None = None
    # Whether the routes were changed after the initial split.
    decided: bool = False
    # The end of the last tick; the time of the last look, or of this keeper's start.
    ticked_s: float = 0.0
    looked_s: float = 0.0
    # The number of processes that share a variant's requests.
    replicas: int = 1
    # The amount of evidence of the last written verdict.
    weighed: int = 0
    # Gateway -> the number of its last received delta; and the deltas that are not in the evidence yet.
    received: dict[str, int] = field(default_factory=dict)
    waiting: list[tuple[str, CountDelta]] = field(default_factory=list)
    # The limits that follow the baseline, and the step and time of their last update.
    quantile_limits_ms: Limits = NO_LIMITS
    limited: tuple[int, float] = (-1, 0.0)
    disagreements: deque[Disagreement] = field(default_factory=lambda: deque(maxlen=_SHOWN))
    # The unwritten change that is in force, and the state without it.
    ahead: Change | None = None
    behind: Present | None = None
    # The result of the last look, to be written.
    verdict_change: Change | None = None
    # Why the trail is not trusted; if there is a fault, the baseline gets all traffic.
    faults: tuple[str, ...] = ()
    # Incremented whenever the evidence is restarted.
    era: int = 0
    # The evidence in the store.
    kept: Evidence = _NOTHING.evidence
    # Requests that may be labelled and are not in the store yet.
    unnoted: list[AnsweredRequest] = field(default_factory=list)
    # The labels of the rollout that were last read from the store, and whether the store has more.
    labels: tuple[Segment, ...] = ()
    matched: Mapping[int, MatchedPairs] | None = None
    labels_due: bool = True

    def __post_init__(self) -> None:
        self._stored_baseline = self.baseline

    @property
    def running(self) -> Rollout | None:
        """The rollout in progress."""
        rollout = self.present.rollout
        return None if rollout is None or rollout.phase.over else rollout

    @property
    def routes(self) -> Routes:
        """The routes in force; they exist once the model is settled."""
        assert self.present.routes is not None
        return self.present.routes

    @property
    def watch(self) -> Watch | None:
        """What gateways should count; None: no rollout is in progress."""
        return None if self.running is None else watch_of(self.running, self.quantile_limits_ms)

    def take(self, gateway: str, delta: CountDelta) -> bool:
        """Accept a gateway's delta, which is sent until it is acknowledged. Returns whether to repeat it."""
        if self.running is None or delta.rollout != self.running.rollout:
            return False
        if delta.number > self.received.get(gateway, 0):
            self.received[gateway] = delta.number
            self.waiting.append((gateway, delta))
            self.disagreements.extendleft(delta.disagreements)
        return delta.number > self.written.get(gateway, 0)

    @property
    def whole(self) -> Evidence:
        """The evidence with the labels that the next look will add."""
        return with_labels(self.present.evidence, self.labels, self.matched)

    def recall(self, present: Present, trail: Iterable[Entry], now_s: float) -> None:
        """Restore the stored state. Counts that are in no evidence yet will be sent again, and the unwritten
        change is applied on top."""
        ahead, self.ahead, self.behind, self.faults = self.ahead, None, None, ()
        self.present, self.baseline = _NOTHING, self._stored_baseline
        self.changed, self.decided, self.lines, self.qualifications = 0, False, {}, []
        for entry in trail:
            self.put(entry.number, entry.change)
        self._restart(present.evidence)
        self.present, self.looked_s = present, now_s
        self.go_on_top(ahead, now_s)

    def fall_back(self, present: Present | None, faults: tuple[str, ...]) -> None:
        """The stored trail was changed: give all traffic to the baseline, and make no decisions until a
        person has checked it."""
        now = all_to_baseline(self.model, self.baseline, present, faults)
        self.faults, self.ahead, self.behind, self.changed = faults, None, None, now.number
        if (rollout := now.rollout) is not None:
            self.lines = {rollout.rollout: rollout_line(rollout, rollout.entered_s)}
        self._restart(now.evidence)
        self.present = now

    def put(self, number: int, change: Change) -> bool:
        """A change was written as this entry. Returns whether it changed the rollout or the routes. A newer
        unwritten change stays in force."""
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
        """Put a change that takes traffic away in force; it is written later."""
        self.ahead, self.behind, self.verdict_change = change, self.present, None
        self._apply(self.present.number, change)

    def go_on_top(self, ahead: Change | None, now_s: float) -> None:
        """Apply the unwritten change of an older state to this one, if it still has an effect."""
        if ahead is None or self.present.routes is None:
            return
        change = on_top(ahead, self.present.rollout, self.present.routes, now_s)
        if change is None:
            _log.warning("%s: dropped %s by %s: the rollout is over", self.model, ahead.action, ahead.by)
        else:
            self.go_ahead(change)

    @property
    def written(self) -> Mapping[str, int]:
        """Gateway -> the number of its last delta in the stored evidence."""
        return self.kept.sheets

    def _restart(self, evidence: Evidence) -> None:
        """Continue from this evidence, which is in the store."""
        self.era += 1
        self.received, self.waiting = dict(evidence.sheets), []
        self.verdict_change, self.unnoted, self.labels, self.labels_due = None, [], (), True
        self.matched = None
        self.kept = evidence

    def _apply(self, number: int, change: Change) -> bool:
        before = self.present.rollout
        moved = change.judged is None or change.rollout != before
        if change.qualification is not None:
            # A qualification does not change what people decided on.
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
            self.weighed = change.judged.evidence.size
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
        """Why the rollout cannot continue with the loaded variants; None if it can."""
        return next(filter(None, (self.strange(rollout, name) for name in rollout.plan.digests)), None)

    def strange(self, rollout: Rollout, variant: str) -> str | None:
        """Why a loaded variant is not the one of the rollout; None if it is."""
        if variant not in self.digests:
            return f"{variant} is not loaded any more"
        if self.digests[variant] != rollout.plan.digests.get(variant, self.digests[variant]):
            return f"another version of {variant} was loaded than the evidence is about"
        return None

    def notable(self, evidence: Evidence) -> bool:
        """Whether a verdict on this evidence is written although it changes nothing."""
        return evidence.size >= max(_GROWTH * self.weighed, 1)
