"""Writes decisions to the store, in order. Its methods wait for the database, in one thread."""

import logging
from collections.abc import Callable, Sequence
from threading import RLock

from serve.base.errors import BrokenTrail, StaleRevision
from serve.rollout.api_records import TrailLine
from serve.rollout.broken_trail import describe_broken_trail
from serve.rollout.clock import SteadyClock
from serve.rollout.evidence.evidence import Evidence
from serve.rollout.latency_limits import refresh
from serve.rollout.model_state import ModelState
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
Send = Callable[[str, str, TrailLine], None]


class DecisionWriter:
    """Writes states to the store and reads them from it. Its methods raise StoreFailed and LostLease, and
    then nothing has changed."""

    def __init__(self, store: Store, timeline: Timeline, send: Send, clock: SteadyClock, lock: RLock) -> None:
        """`lock` guards the states; it is never held during a wait."""
        self._store = store
        self._timeline = timeline
        self._send = send
        self._clock = clock
        self._lock = lock

    def write(self, state: ModelState) -> None:
        """Write everything for one model, beginning with the change that is already in force."""
        if (rollout := state.present.rollout) is None or state.faults:
            return
        self._read_labels(state, rollout)
        self._keep(state, rollout)
        if self.write_ahead(state) or rollout.phase.over:
            return
        limited = refresh(state, rollout, self._timeline, self._clock.now_s())
        if limited is not rollout:
            self.append(state, _limit(limited, self._clock.now_s()))
        with self._lock:
            change, state.verdict_change = state.verdict_change, None
            fresh = state.running is rollout
        if change is not None and fresh:
            self.append(state, change)

    def append(self, state: ModelState, change: Change) -> None:
        """Write a change, with the routes that follow from it. Raises StaleRevision and BrokenTrail."""
        require_whole(state)
        if self.write_ahead(state) and change.rollout is not None and change.action is not Action.START:
            # The change was decided before the withdrawal.
            raise StaleRevision(
                f"rollout {change.rollout.rollout} was withdrawn meanwhile; read it again and decide again",
                state.present.number,
            )
        self._append(state, change)

    def write_ahead(self, state: ModelState) -> bool:
        """Write the change that is already in force. Returns whether there was one. Raises StaleRevision."""
        if (ahead := state.ahead) is None:
            return False
        self._append(state, ahead)
        return True

    def learn(self, state: ModelState, outcomes: Sequence[Outcome]) -> Feedback:
        """Write labels. The next `write` adds those of the rollout in progress to its evidence. Raises
        BrokenTrail."""
        require_whole(state)
        rollout = state.running
        running = None
        if rollout is not None:
            running = Running(rollout.rollout, rollout.policy.guards.accuracy is not None)
        self._noted(state)
        feedback = self._store.learn(state.model, outcomes, running, self._clock.now_s())
        state.labels_due |= feedback.counted > 0
        return feedback if feedback.counted else feedback.model_copy(update={"note": _why_unused(state)})

    def recall(self, state: ModelState) -> None:
        """Read the state of a model from the store, unless its trail was changed."""
        present, trail, faults = self._store.recall(state.model)
        for fault in faults:
            _log.error("%s: %s; no decision is based on this trail", state.model, fault)
        if not faults:
            self._clock.not_before(trail[-1].change.at_s if trail else 0.0)
        with self._lock:
            if faults or present is None:
                state.fall_back(present, faults)
            else:
                state.recall(present, trail, self._clock.now_s())

    def _append(self, state: ModelState, change: Change) -> None:
        evidence = self._noted(state) if change.judged is not None else None
        with self._lock:
            written = state.behind or state.present
            if change.routes is None and written.routes is not None:
                change = with_routes(change, written.routes)
        try:
            entry = self._store.append(change, written.number, self._clock.now_s(), evidence)
        except StaleRevision:
            self.recall(state)
            raise
        with self._lock:
            moved = state.put(entry.number, change)
            if evidence is not None:
                state.kept = evidence
        webhook = change.rollout and change.rollout.policy.webhook
        if moved and webhook:
            self._send(webhook, change.model, line_of(entry.number, entry.digest, change))

    def _read_labels(self, state: ModelState, rollout: Rollout) -> None:
        if not state.labels_due:
            return
        era, labels = state.era, self._store.labels(rollout.rollout)
        matched = self._store.matched(rollout.rollout)
        with self._lock:
            if state.era == era:
                state.labels, state.matched, state.labels_due = labels, matched, False

    def _keep(self, state: ModelState, rollout: Rollout) -> None:
        """Write the evidence."""
        era, evidence = state.era, self._noted(state)
        if evidence is state.kept:
            return
        self._store.keep(rollout.rollout, evidence, self._clock.now_s())
        with self._lock:
            if state.era == era:
                state.kept = evidence

    def _noted(self, state: ModelState) -> Evidence:
        """The present evidence. The requests that may be labelled are written before it, because gateways
        forget them when it is acknowledged."""
        with self._lock:
            era, evidence, answers = state.era, state.whole, tuple(state.unnoted)
        labelled = self._store.answered.note(state.model, answers, self._clock.now_s())
        with self._lock:
            state.labels_due |= labelled
            if state.era == era:
                del state.unnoted[: len(answers)]
        return evidence


def require_whole(state: ModelState) -> None:
    """Raise BrokenTrail if the trail has faults: nothing is written then, so that a person finds it
    unchanged."""
    if state.faults:
        raise BrokenTrail(describe_broken_trail(state.model, state.faults))


def _limit(limited: Rollout, now_s: float) -> Change:
    return Change(model=limited.plan.model, action=Action.LIMIT, by="judge", at_s=now_s, rollout=limited)


def _why_unused(state: ModelState) -> str | None:
    """Why the labels of a model cannot count; None if they can."""
    rollout = state.running
    way = "start a rollout with `guards: {accuracy: {}}` in its policy"
    if rollout is None:
        return f"labels do not count, because no rollout of {state.model!r} is in progress; {way}"
    if rollout.policy.guards.accuracy is None:
        why = f"the policy of rollout {rollout.rollout} has no accuracy guard"
        return f"labels do not count, because {why}; {way}"
    return None
