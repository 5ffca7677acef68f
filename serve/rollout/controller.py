"""Controller: every second load, judge, advance, save.

It waits for the database, and is called from one thread; only `take` and `written` may come from another."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from serve.control import Feedback, Outcome, TrailLine
from serve.errors import LostLease, StaleRevision, StoreFailed
from serve.rollout.advance import abort, advance
from serve.rollout.answered import Answer
from serve.rollout.census import Sheet
from serve.rollout.evidence import Evidence
from serve.rollout.gathering import gather
from serve.rollout.judge import judge
from serve.rollout.limits import refresh
from serve.rollout.rollout import Rollout, routes_of
from serve.rollout.situation import BY_KEEPER, BY_SERVE, Situation, mended
from serve.rollout.store import Store
from serve.rollout.timeline import Timeline
from serve.rollout.trail import Action, Change, Judged
from serve.rollout.views import line_of

_log = logging.getLogger("counterweight.controller")
# What is told of a change, at the URL that its policy names, of which model.
Tell = Callable[[str, str, TrailLine], None]


class Controller:
    """Moves the traffic of all models while it holds the store's lease. A keeper without the lease follows
    what the other one writes. Its methods raise StoreFailed, and then nothing has changed."""

    def __init__(self, store: Store, timeline: Timeline, tell: Tell) -> None:
        # Model -> what is known of it; live.
        self.situations: dict[str, Situation] = {}
        self._acting = False
        self._store = store
        self._timeline = timeline
        self._tell = tell
        self._taking = threading.Lock()

    def take(self, model: str, gateway: str, sheet: Sheet) -> None:
        """What a gateway counted; from any thread, and without waiting."""
        with self._taking:
            if model in self.situations:
                self.situations[model].take(gateway, sheet)

    def written(self, gateway: str) -> dict[str, int]:
        """By model, the gateway's last sheet that is written down; from any thread."""
        with self._taking:
            return {
                name: situation.present.evidence.sheets[gateway]
                for name, situation in self.situations.items()
                if gateway in situation.present.evidence.sheets
            }

    def settle(
        self, model: str, baseline: str, digests: Mapping[str, str], weights: Mapping[str, float] | None
    ) -> None:
        """These versions of a model are loaded now: its traffic goes on as the store says, as far as it can.
        `weights` is the split that it starts out with, if nobody has decided on another one; None: as is."""
        now_s = time.time()
        if not self._acting:
            self._renew(now_s)
        situation = Situation(model=model, baseline=baseline, digests=digests, weights=weights)
        self._recall(situation)
        if known := self.situations.get(model):
            situation.judged = known.judged
        self._mend(situation, now_s)
        with self._taking:
            self.situations[model] = situation

    def forget(self, model: str) -> None:
        """The model is not served any more."""
        situation = self.situations[model]
        if (rollout := situation.running) is not None:
            self._stop(situation, rollout, f"{model} was unloaded", time.time())
        with self._taking:
            del self.situations[model]

    def tick(self) -> None:
        """One look at everything."""
        self._renew(now_s := time.time())
        for situation in self.situations.values():
            if not self._acting:
                self._follow(situation)
                continue
            try:
                self._look(situation, now_s)
            except (StaleRevision, LostLease) as error:
                _log.warning("%s", error)
                self._recall(situation)
            except StoreFailed:
                raise
            except Exception:  # what is wrong with one model must not keep harm of another in force
                _log.exception("a look at the rollout of %s failed", situation.model)

    def learn(self, situation: Situation, outcomes: Sequence[Outcome]) -> Feedback:
        """Add feedback to the evidence of the rollout that runs. Raises LostLease."""
        rollout, before = situation.running, situation.present.evidence
        running = rollout.rollout if rollout else None
        feedback, evidence = self._store.learn(situation.model, outcomes, running, before, time.time())
        self._note(situation, evidence)
        return feedback

    def change(
        self,
        situation: Situation,
        action: Action,
        rollout: Rollout,
        now_s: float,
        judged: Judged | None = None,
    ) -> None:
        """Write down one step of a rollout, with the routes that follow from it. Raises StaleRevision and
        LostLease."""
        routes = routes_of(rollout, situation.routes)
        machine = action in (Action.VERDICT, Action.LIMIT)
        change = Change(
            model=situation.model,
            action=action,
            by="judge" if machine else rollout.by,
            at_s=now_s,
            rollout=rollout,
            routes=None if routes is situation.routes else routes,
            judged=judged,
        )
        self.append(situation, change)

    def append(self, situation: Situation, change: Change) -> None:
        """Write down a change. Raises StaleRevision and LostLease."""
        try:
            entry = self._store.append(change, situation.present.number)
        except StaleRevision:
            self._recall(situation)
            raise
        with self._taking:
            moved = situation.put(entry.number, change)
        webhook = change.rollout and change.rollout.policy.webhook
        if moved and webhook:
            self._tell(webhook, change.model, line_of(entry.number, entry.digest, change))

    def _renew(self, now_s: float) -> None:
        acting = self._store.renew(now_s)
        if acting != self._acting and self.situations:
            _log.warning("this keeper %s", "acts from now on" if acting else "follows another one")
        for situation in self.situations.values() if acting and not self._acting else ():
            # Whole: evidence was kept since the last entry, and what was mended here was not written.
            self._recall(situation)
            self._mend(situation, now_s)
        self._acting = acting

    def _look(self, situation: Situation, now_s: float) -> None:
        """Add what came in to the evidence of the rollout that runs, and do what follows from it."""
        rollout = situation.running
        if rollout is None:
            return
        self._gather(situation, rollout, now_s)
        limited = refresh(situation, rollout, self._timeline, now_s)
        if limited is not rollout:
            self.change(situation, Action.LIMIT, limited, now_s)
            rollout = limited
        evidence = situation.present.evidence
        verdict = judge(rollout, evidence, now_s)
        after = advance(rollout, verdict, now_s)
        situation.judged = verdict, now_s
        if after is not rollout or situation.notable(evidence):
            self.change(situation, Action.VERDICT, after, now_s, Judged(evidence=evidence, verdict=verdict))

    def _gather(self, situation: Situation, rollout: Rollout, now_s: float) -> None:
        with self._taking:
            sheets, situation.waiting = situation.waiting, []
        if not sheets:
            return
        answers = list(_answers(situation, rollout, sheets, now_s))
        span = (situation.ticked_s or now_s, now_s)
        evidence = gather(situation.present.evidence, sheets, rollout.plan, situation.splits, span)
        try:
            self._store.answered.note(situation.model, answers, now_s)
            self._keep(situation, rollout, evidence, now_s)
        except BaseException:
            with self._taking:
                situation.waiting = sheets + situation.waiting
            raise
        situation.ticked_s = now_s

    def _keep(self, situation: Situation, rollout: Rollout, evidence: Evidence, now_s: float) -> None:
        self._store.keep(rollout.rollout, evidence, now_s)
        self._note(situation, evidence)

    def _note(self, situation: Situation, evidence: Evidence) -> None:
        with self._taking:
            situation.present = situation.present.model_copy(update={"evidence": evidence})

    def _mend(self, situation: Situation, now_s: float) -> None:
        """Let traffic go only to what is loaded, and end a rollout of anything else."""
        if (rollout := situation.running) is not None:
            if (fault := situation.fault(rollout)) is None:
                return
            self._stop(situation, rollout, fault, now_s)
        before = situation.present.routes
        routes = mended(situation)
        if routes == before:
            return
        by = BY_KEEPER if situation.decided else BY_SERVE
        change = Change(model=situation.model, action=Action.ROUTES, by=by, at_s=now_s, routes=routes)
        try:
            self.append(situation, change)
        except LostLease:
            # In force here for now, and written when the lease is ours.
            situation.present = situation.present.model_copy(update={"routes": routes})

    def _stop(self, situation: Situation, rollout: Rollout, reason: str, now_s: float) -> None:
        try:
            self.change(situation, Action.ABORT, abort(rollout, BY_KEEPER, reason), now_s)
        except LostLease:
            _log.warning("%s, and another keeper has to end rollout %s", reason, rollout.rollout)

    def _follow(self, situation: Situation) -> None:
        if self._store.read(situation.model).number != situation.present.number:
            self._recall(situation)

    def _recall(self, situation: Situation) -> None:
        present, trail = self._store.read(situation.model), self._store.trail(situation.model)
        with self._taking:
            situation.recall(present, trail)


def _answers(
    situation: Situation, rollout: Rollout, sheets: Sequence[tuple[str, Sheet]], now_s: float
) -> Sequence[Answer]:
    """The requests of these sheets that feedback may come for."""
    return [
        Answer(
            request_id=request_id,
            rollout=rollout.rollout,
            step=step,
            split=split,
            sticky=sticky,
            candidate=variant == rollout.plan.candidate,
            at_s=now_s,
        )
        for _, sheet in sheets
        for request_id, (revision, sticky, variant) in sheet.answered
        for step, split in [situation.splits.get(revision, (0, 0.0))]
        if step
    ]
