"""Writes decisions to the store, in order. Its methods wait for the database, in one thread."""

import logging
from collections.abc import Callable, Sequence
from threading import RLock

from serve.base.errors import BrokenTrail, StaleRevision
from serve.rollout.api_records import TrailLine
from serve.rollout.broken_trail import distrusted
from serve.rollout.clock import SteadyClock
from serve.rollout.evidence.evidence import Evidence
from serve.rollout.latency_limits import refresh
from serve.rollout.model_state import Situation
from serve.rollout.state.feedback import Feedback, Outcome
from serve.rollout.state.rollout import Rollout
from serve.rollout.store.label_totals import Running
from serve.rollout.store.store import Store
from serve.rollout.timeline import Timeline
from serve.rollout.trail.trail import Action, Change
from serve.rollout.views import line_of
from serve.rollout.withdrawal import with_routes

_log = logging.getLogger("counterweight.controller")
# Sends a change: URL of the policy, model, entry.
Tell = Callable[[str, str, TrailLine], None]


class Scribe:
    """Writes situations to the store and reads them from it. Its methods raise StoreFailed and LostLease, and
    then nothing has changed."""

    def __init__(
        self, store: Store, timeline: Timeline, tell: Tell, clock: SteadyClock, taking: RLock
    ) -> None:
        """`taking` guards the situations; it is never held during a wait."""
        self._store = store
        self._timeline = timeline
        self._tell = tell
        self._clock = clock
        self._taking = taking

    def write(self, situation: Situation) -> None:
        """Write everything for one model, beginning with the change that is already in force."""
        if (rollout := situation.present.rollout) is None or situation.faults:
            return
        self._read_labels(situation, rollout)
        self._keep(situation, rollout)
        if self.write_ahead(situation) or rollout.phase.over:
            return
        limited = refresh(situation, rollout, self._timeline, self._clock.now_s())
        if limited is not rollout:
            self.append(situation, _limit(limited, self._clock.now_s()))
        with self._taking:
            found, situation.found = situation.found, None
            fresh = situation.running is rollout
        if found is not None and fresh:
            self.append(situation, found)

    def append(self, situation: Situation, change: Change) -> None:
        """Write a change, with the routes that follow from it. Raises StaleRevision and BrokenTrail."""
        require_whole(situation)
        if self.write_ahead(situation) and change.rollout is not None and change.action is not Action.START:
            # The change was decided before the withdrawal.
            raise StaleRevision(
                f"rollout {change.rollout.rollout} was withdrawn meanwhile; read it again and decide again",
                situation.present.number,
            )
        self._append(situation, change)

    def write_ahead(self, situation: Situation) -> bool:
        """Write the change that is already in force. Returns whether there was one. Raises StaleRevision."""
        if (ahead := situation.ahead) is None:
            return False
        self._append(situation, ahead)
        return True

    def learn(self, situation: Situation, outcomes: Sequence[Outcome]) -> Feedback:
        """Write labels. The next `write` adds those of the rollout in progress to its evidence. Raises
        BrokenTrail."""
        require_whole(situation)
        rollout = situation.running
        running = None
        if rollout is not None:
            running = Running(rollout.rollout, rollout.policy.guards.accuracy is not None)
        self._noted(situation)
        feedback = self._store.learn(situation.model, outcomes, running, self._clock.now_s())
        situation.labels_due |= feedback.counted > 0
        return feedback

    def recall(self, situation: Situation) -> None:
        """Read the state of a model from the store, unless its trail was changed."""
        present, trail, faults = self._store.recall(situation.model)
        for fault in faults:
            _log.error("%s: %s; no decision is based on this trail", situation.model, fault)
        if not faults:
            self._clock.not_before(trail[-1].change.at_s if trail else 0.0)
        with self._taking:
            if faults or present is None:
                situation.distrust(present, faults)
            else:
                situation.recall(present, trail, self._clock.now_s())

    def _append(self, situation: Situation, change: Change) -> None:
        evidence = self._noted(situation) if change.judged is not None else None
        with self._taking:
            written = situation.behind or situation.present
            if change.routes is None and written.routes is not None:
                change = with_routes(change, written.routes)
        try:
            entry = self._store.append(change, written.number, self._clock.now_s(), evidence)
        except StaleRevision:
            self.recall(situation)
            raise
        with self._taking:
            moved = situation.put(entry.number, change)
            if evidence is not None:
                situation.kept = evidence
        webhook = change.rollout and change.rollout.policy.webhook
        if moved and webhook:
            self._tell(webhook, change.model, line_of(entry.number, entry.digest, change))

    def _read_labels(self, situation: Situation, rollout: Rollout) -> None:
        if not situation.labels_due:
            return
        era, labels = situation.era, self._store.labels(rollout.rollout)
        matched = self._store.matched(rollout.rollout)
        with self._taking:
            if situation.era == era:
                situation.labels, situation.matched, situation.labels_due = labels, matched, False

    def _keep(self, situation: Situation, rollout: Rollout) -> None:
        """Write the evidence."""
        era, evidence = situation.era, self._noted(situation)
        if evidence is situation.kept:
            return
        self._store.keep(rollout.rollout, evidence, self._clock.now_s())
        with self._taking:
            if situation.era == era:
                situation.kept = evidence

    def _noted(self, situation: Situation) -> Evidence:
        """The present evidence. The requests that may be labelled are written before it, because gateways
        forget them when it is acknowledged."""
        with self._taking:
            era, evidence, answers = situation.era, situation.whole, tuple(situation.unnoted)
        labelled = self._store.answered.note(situation.model, answers, self._clock.now_s())
        with self._taking:
            situation.labels_due |= labelled
            if situation.era == era:
                del situation.unnoted[: len(answers)]
        return evidence


def require_whole(situation: Situation) -> None:
    """Raise BrokenTrail if the trail has faults: nothing is written then, so that a person finds it
    unchanged."""
    if situation.faults:
        raise BrokenTrail(distrusted(situation.model, situation.faults))


def _limit(limited: Rollout, now_s: float) -> Change:
    return Change(model=limited.plan.model, action=Action.LIMIT, by="judge", at_s=now_s, rollout=limited)
