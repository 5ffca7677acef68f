"""The control loop of rollouts: every second load, judge, advance, save.

Two threads share the controller. `look` gathers and judges in memory and never waits for the database.
`save`, and most operations of people, wait for it in the other thread. A store that hangs therefore cannot
keep anyone from taking traffic away: a withdrawal takes effect at once, and is written first when the store
is back. All other changes take effect when they are written. `_taking` guards the shared state, and is never
held during a wait."""

import logging
import threading
from collections.abc import Mapping, Sequence

from serve.base.errors import LostLease, StaleRevision, StoreFailed
from serve.counting.census import Sheet
from serve.rollout.advance import abort, end_watch
from serve.rollout.analysis import look
from serve.rollout.api_records import RolloutView
from serve.rollout.broken_trail import distrusted
from serve.rollout.clock import SteadyClock
from serve.rollout.decision_writer import Scribe, Tell
from serve.rollout.model_state import BY_SERVE, Situation
from serve.rollout.outbox import Outbox
from serve.rollout.reconcile import mended
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
        self, store: Store, timeline: Timeline, tell: Tell, outbox: Outbox, clock: SteadyClock | None = None
    ) -> None:
        # Model -> its state; a live view.
        self.situations: dict[str, Situation] = {}
        self.clock = clock or SteadyClock()
        self._acting = False
        # Whether another keeper has the lease and has given a sign of life.
        self._rival = False
        self._store = store
        self._outbox = outbox
        # Model -> the change that the last keeper had in force and had not written.
        self._left = dict(outbox.read())
        self._taking = threading.RLock()
        self._scribe = Scribe(store, timeline, tell, self.clock, self._taking)
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

    def take(self, model: str, gateway: str, sheet: Sheet) -> bool:
        """Accept the counts of a gateway, from any thread. Returns whether it must send them again."""
        with self._taking:
            return model in self.situations and self.situations[model].take(gateway, sheet)

    def written(self, gateway: str) -> dict[str, int]:
        """The number of the gateway's last stored sheet, by model; can be called from any thread."""
        with self._taking:
            return {
                name: situation.written[gateway]
                for name, situation in self.situations.items()
                if gateway in situation.written
            }

    def withdraw(self, rollout: str, by: str, reason: str = "aborted") -> Situation | None:
        """Give all traffic of a rollout back to its baseline, at once and from any thread; `save` writes it.
        Returns None if the rollout is not in progress, or if another keeper, which is alive, has it."""
        with self._taking:
            for situation in () if self._rival else self.situations.values():
                running = situation.running
                if running is not None and running.rollout == rollout:
                    change = withdraw(running, situation.routes, by, reason, self.clock.now_s())
                    situation.go_ahead(change)
                    self._hold()
                    return situation
        return None

    def warnings(self, situation: Situation) -> tuple[str, ...]:
        """Warnings for people that the rollout itself does not contain; can be called from any thread."""
        now_s, said = self.clock.now_s(), []
        if situation.faults:
            said.append(distrusted(situation.model, situation.faults))
        if (silent_s := now_s - self._saved_s) > _LATE_S:
            said.append(
                f"nothing could be written to the store for {silent_s:,.0f} s: harm still takes traffic "
                "away, but nothing is promoted until the store is back"
            )
        if self.unjudged_s > _LATE_S:
            said.append(f"nobody has judged for {self.unjudged_s:,.0f} s")
        if not self._acting:
            said.append(f"another keeper has the store's lease: {_FOLLOWS[self._rival]}")
        if (ahead := situation.ahead) is not None:
            said.append(f"the {ahead.action} by {ahead.by} is in force, but not written to the store yet")
        return tuple(said)

    def settle(
        self, model: str, baseline: str, digests: Mapping[str, str], weights: Mapping[str, float] | None
    ) -> None:
        """These versions of a model are loaded now: continue its traffic as the store says, as far as
        possible. `weights` is the initial split if nobody has decided on another one; None: keep the stored
        one."""
        if not self._acting:
            self._renew()
        situation = Situation(model=model, baseline=baseline, digests=digests, weights=weights)
        self._scribe.recall(situation)
        if known := self.situations.get(model):
            situation.judged = known.judged
        self._mend(situation)
        with self._taking:
            left = self._left.pop(model, None) if known is None else known.ahead
            situation.go_on_top(left, self.clock.now_s())
            self.situations[model] = situation

    def forget(self, model: str) -> None:
        """The model is not served any more."""
        situation = self.situations[model]
        self._scribe.write_ahead(situation)
        if (rollout := situation.running) is not None:
            self._stop(situation, rollout, f"{model} was unloaded")
        with self._taking:
            del self.situations[model]

    def look(self) -> None:
        """Judge everything that has arrived, without waiting for the store."""
        now_s = self.clock.now_s()
        for situation in tuple(self.situations.values()) if self._acting else ():
            try:
                look(situation, self._taking, now_s)
            except Exception:  # a fault in one model must not delay the judging of others
                _log.exception("a look at the rollout of %s failed", situation.model)
        self._hold()
        if self._acting or self._rival:
            self._looked_s = self.clock.now_s()

    def save(self) -> None:
        """Write the results of looks, and the changes that are already in force."""
        self._renew()
        for situation in tuple(self.situations.values()):
            if not self._acting:
                self._follow(situation)
                continue
            try:
                self._scribe.write(situation)
            except (StaleRevision, LostLease) as error:
                _log.warning("%s", error)
                self._scribe.recall(situation)
            except StoreFailed:
                raise
            except Exception:
                _log.exception("the result for %s could not be written", situation.model)
        self._hold()
        self._saved_s = self.clock.now_s()

    def learn(self, situation: Situation, outcomes: Sequence[Outcome]) -> Feedback:
        """Add labels to the evidence of the rollout in progress. Raises LostLease."""
        return self._scribe.learn(situation, outcomes)

    def change(self, situation: Situation, action: Action, rollout: Rollout, now_s: float) -> None:
        """Write one step of a rollout, with the routes that follow from it. Raises StaleRevision and
        LostLease."""
        change = Change(model=situation.model, action=action, by=rollout.by, at_s=now_s, rollout=rollout)
        self.append(situation, change)

    def append(self, situation: Situation, change: Change) -> None:
        """Write a change. Raises StaleRevision and LostLease."""
        self._scribe.append(situation, change)

    def view(self, situation: Situation) -> RolloutView:
        """The present state of a model's last rollout; can be called from any thread."""
        with self._taking:
            present = situation.present.model_copy(update={"number": situation.changed})
            shown = tuple(situation.disagreements)
        view = view_of(present, situation.judged, shown)
        return view.model_copy(update={"warnings": self.warnings(situation)})

    def _hold(self) -> None:
        """Save unwritten changes for the next keeper."""
        with self._taking:
            ahead = (situation.ahead for situation in self.situations.values())
            self._outbox.hold((*self._left.values(), *(change for change in ahead if change is not None)))

    def _renew(self) -> None:
        acting = self._store.renew(self.clock.now_s())
        if acting != self._acting and self.situations:
            _log.warning("this keeper %s", "is active from now on" if acting else "is a standby from now on")
        for situation in self.situations.values() if acting and not self._acting else ():
            # Read everything again: the other keeper wrote evidence, and changes made here were not written.
            self._scribe.recall(situation)
            self._mend(situation)
        self._acting, self._rival = acting, not acting and self._store.rival

    def _mend(self, situation: Situation) -> None:
        """Send traffic only to loaded variants, and end a rollout of anything else."""
        if situation.faults:
            return
        if (rollout := situation.running) is not None:
            if (fault := situation.fault(rollout)) is None:
                return
            self._stop(situation, rollout, fault)
        before = situation.present.routes
        routes = mended(situation)
        if routes == before:
            return
        by = BY_KEEPER if situation.decided else BY_SERVE
        now_s = self.clock.now_s()
        change = Change(model=situation.model, action=Action.ROUTES, by=by, at_s=now_s, routes=routes)
        try:
            self.append(situation, change)
        except LostLease:
            # In force here for now; it is written when this keeper gets the lease.
            situation.present = situation.present.model_copy(update={"routes": routes})

    def _stop(self, situation: Situation, rollout: Rollout, reason: str) -> None:
        # A promotion stays in force as long as the promoted version is loaded.
        ends = rollout.watched and situation.strange(rollout, rollout.plan.candidate) is None
        action, stop = (Action.PROMOTE, end_watch) if ends else (Action.ABORT, abort)
        try:
            self.change(situation, action, stop(rollout, BY_KEEPER, reason), self.clock.now_s())
        except LostLease:
            _log.warning("%s, but another keeper has to end rollout %s", reason, rollout.rollout)

    def _follow(self, situation: Situation) -> None:
        behind = situation.behind or situation.present
        if self._store.read(situation.model).number != behind.number:
            self._scribe.recall(situation)
