"""The control loop of rollouts: every second load, judge, advance, save.

Two threads share the controller. `look` gathers and judges in memory and never waits for the database.
`save`, and most operations of people, wait for it in the other thread. A store that hangs therefore cannot
keep anyone from taking traffic away: a withdrawal takes effect at once, and is written first when the store
is back. All other changes take effect when they are written. `_lock` guards the shared state, and is never
held during a wait."""

import logging
import threading
from collections.abc import Mapping, Sequence

from serve.base.errors import LostLease, StaleRevision, StoreFailed
from serve.counting.count_delta import CountDelta
from serve.rollout.advance import abort, end_watch
from serve.rollout.analysis import analyze
from serve.rollout.api_records import RolloutView
from serve.rollout.broken_trail import describe_broken_trail
from serve.rollout.clock import SteadyClock
from serve.rollout.decision_writer import DecisionWriter, Send
from serve.rollout.model_state import BY_SERVE, ModelState
from serve.rollout.outbox import Outbox
from serve.rollout.reconcile import reconcile
from serve.rollout.state.feedback import Feedback, Outcome
from serve.rollout.state.rollout import Rollout
from serve.rollout.store.store import Store
from serve.rollout.timeline import Timeline
from serve.rollout.trail.trail import Action, Change
from serve.rollout.views import view_of
from serve.rollout.withdrawal import withdraw

_log = logging.getLogger("counterweight.controller")
# The name in the trail for changes that remove what is not loaded.
BY_KEEPER = "keeper"
# People are warned if nothing was written, or nobody judged, for longer.
_LATE_S = 3.0
# The warning, by whether the keeper with the lease has given a sign of life.
_FOLLOWS = {
    True: "this one is a standby",
    False: "this one is a standby, and can abort until the other one gives a sign of life",
}


class Controller:
    """Moves the traffic of all models while it holds the store's lease. A keeper without the lease follows
    the entries of the other one. Methods that wait for the store raise StoreFailed without any change."""

    def __init__(
        self, store: Store, timeline: Timeline, send: Send, outbox: Outbox, clock: SteadyClock | None = None
    ) -> None:
        # Model -> its state; a live view.
        self.states: dict[str, ModelState] = {}
        self.clock = clock or SteadyClock()
        self._acting = False
        # Whether another keeper has the lease and has given a sign of life.
        self._rival = False
        self._store = store
        self._outbox = outbox
        # Model -> the change that the last keeper had in force and had not written.
        self._left = dict(outbox.read())
        self._lock = threading.RLock()
        self._writer = DecisionWriter(store, timeline, send, self.clock, self._lock)
        # The end of the last look (here, or at a keeper that is alive) and of the last save.
        self._looked_s = self._saved_s = self.clock.now_s()

    @property
    def acts(self) -> bool:
        """Whether it holds the store's lease."""
        return self._acting

    @property
    def unjudged_s(self) -> float:
        """How long nobody has judged, as far as this keeper knows; can be called from any thread."""
        return self.clock.now_s() - self._looked_s

    def take(self, model: str, gateway: str, delta: CountDelta) -> bool:
        """Accept the counts of a gateway, from any thread. Returns whether it must send them again."""
        with self._lock:
            return model in self.states and self.states[model].take(gateway, delta)

    def written(self, gateway: str) -> dict[str, int]:
        """The number of the gateway's last stored delta, by model; can be called from any thread."""
        with self._lock:
            return {
                name: state.written[gateway]
                for name, state in self.states.items()
                if gateway in state.written
            }

    def withdraw(self, rollout: str, by: str, reason: str = "aborted") -> ModelState | None:
        """Give all traffic of a rollout back to its baseline, at once and from any thread; `save` writes it.
        Returns None if the rollout is not in progress, or if another keeper, which is alive, has it."""
        with self._lock:
            for state in () if self._rival else self.states.values():
                running = state.running
                if running is not None and running.rollout == rollout:
                    change = withdraw(running, state.routes, by, reason, self.clock.now_s())
                    state.go_ahead(change)
                    self._hold()
                    return state
        return None

    def warnings(self, state: ModelState) -> tuple[str, ...]:
        """Warnings for people that the rollout itself does not contain; can be called from any thread."""
        now_s, messages = self.clock.now_s(), []
        if state.faults:
            messages.append(describe_broken_trail(state.model, state.faults))
        if (silent_s := now_s - self._saved_s) > _LATE_S:
            messages.append(
                f"nothing could be written to the store for {silent_s:,.0f} s: harm still takes traffic "
                "away, but nothing is promoted until the store is back"
            )
        if self.unjudged_s > _LATE_S:
            messages.append(f"nobody has judged for {self.unjudged_s:,.0f} s")
        if not self._acting:
            messages.append(f"another keeper has the store's lease: {_FOLLOWS[self._rival]}")
        if (ahead := state.ahead) is not None:
            messages.append(f"the {ahead.action} by {ahead.by} is in force, but not written to the store yet")
        return tuple(messages)

    def settle(
        self, model: str, baseline: str, digests: Mapping[str, str], weights: Mapping[str, float] | None
    ) -> None:
        """These versions of a model are loaded now: continue its traffic as the store says, as far as
        possible. `weights` is the initial split if nobody has decided on another one; None: keep the stored
        one."""
        if not self._acting:
            self._renew()
        state = ModelState(model=model, baseline=baseline, digests=digests, weights=weights)
        self._writer.recall(state)
        if known := self.states.get(model):
            state.judged = known.judged
        self._mend(state)
        with self._lock:
            left = self._left.pop(model, None) if known is None else known.ahead
            state.go_on_top(left, self.clock.now_s())
            self.states[model] = state

    def forget(self, model: str) -> None:
        """The model is not served any more."""
        state = self.states[model]
        self._writer.write_ahead(state)
        if (rollout := state.running) is not None:
            self._stop(state, rollout, f"{model} was unloaded")
        with self._lock:
            del self.states[model]

    def look(self) -> None:
        """Judge everything that has arrived, without waiting for the store."""
        now_s = self.clock.now_s()
        for state in tuple(self.states.values()) if self._acting else ():
            try:
                analyze(state, self._lock, now_s)
            except Exception:  # a fault in one model must not delay the judging of others
                _log.exception("a look at the rollout of %s failed", state.model)
        self._hold()
        if self._acting or self._rival:
            self._looked_s = self.clock.now_s()

    def save(self) -> None:
        """Write the results of looks, and the changes that are already in force."""
        self._renew()
        for state in tuple(self.states.values()):
            if not self._acting:
                self._follow(state)
                continue
            try:
                self._writer.write(state)
            except (StaleRevision, LostLease) as error:
                _log.warning("%s", error)
                self._writer.recall(state)
            except StoreFailed:
                raise
            except Exception:
                _log.exception("the result for %s could not be written", state.model)
        self._hold()
        self._saved_s = self.clock.now_s()

    def learn(self, state: ModelState, outcomes: Sequence[Outcome]) -> Feedback:
        """Add labels to the evidence of the rollout in progress. Raises LostLease."""
        return self._writer.learn(state, outcomes)

    def change(self, state: ModelState, action: Action, rollout: Rollout, now_s: float) -> None:
        """Write one step of a rollout, with the routes that follow from it. Raises StaleRevision and
        LostLease."""
        change = Change(model=state.model, action=action, by=rollout.by, at_s=now_s, rollout=rollout)
        self.append(state, change)

    def append(self, state: ModelState, change: Change) -> None:
        """Write a change. Raises StaleRevision and LostLease."""
        self._writer.append(state, change)

    def view(self, state: ModelState) -> RolloutView:
        """The present state of a model's last rollout; can be called from any thread."""
        with self._lock:
            present = state.present.model_copy(update={"number": state.changed})
            shown = tuple(state.disagreements)
        view = view_of(present, state.judged, shown)
        return view.model_copy(update={"warnings": self.warnings(state)})

    def _hold(self) -> None:
        """Save unwritten changes for the next keeper."""
        with self._lock:
            ahead = (state.ahead for state in self.states.values())
            self._outbox.hold((*self._left.values(), *(change for change in ahead if change is not None)))

    def _renew(self) -> None:
        acting = self._store.renew(self.clock.now_s())
        if acting != self._acting and self.states:
            _log.warning("this keeper %s", "is active from now on" if acting else "is a standby from now on")
        for state in self.states.values() if acting and not self._acting else ():
            # Read everything again: the other keeper wrote evidence, and changes made here were not written.
            self._writer.recall(state)
            self._mend(state)
        self._acting, self._rival = acting, not acting and self._store.rival

    def _mend(self, state: ModelState) -> None:
        """Send traffic only to loaded variants, and end a rollout of anything else."""
        if state.faults:
            return
        if (rollout := state.running) is not None:
            if (fault := state.fault(rollout)) is None:
                return
            self._stop(state, rollout, fault)
        before = state.present.routes
        routes = reconcile(state)
        if routes == before:
            return
        by = BY_KEEPER if state.decided else BY_SERVE
        now_s = self.clock.now_s()
        change = Change(model=state.model, action=Action.ROUTES, by=by, at_s=now_s, routes=routes)
        try:
            self.append(state, change)
        except LostLease:
            # In force here for now; it is written when this keeper gets the lease.
            state.present = state.present.model_copy(update={"routes": routes})

    def _stop(self, state: ModelState, rollout: Rollout, reason: str) -> None:
        # A promotion stays in force as long as the promoted version is loaded.
        ends = rollout.watched and state.strange(rollout, rollout.plan.candidate) is None
        action, stop = (Action.PROMOTE, end_watch) if ends else (Action.ABORT, abort)
        try:
            self.change(state, action, stop(rollout, BY_KEEPER, reason), self.clock.now_s())
        except LostLease:
            _log.warning("%s, but another keeper has to end rollout %s", reason, rollout.rollout)

    def _follow(self, state: ModelState) -> None:
        behind = state.behind or state.present
        if self._store.read(state.model).number != behind.number:
            self._writer.recall(state)
