"""Commands: the operations of the control API, in the process of the keeper."""

from serve.base.errors import InvalidRecord, InvalidRequest, RefusedAction, StaleRevision, UnknownModel
from serve.base.record import nearest
from serve.base.routing import Routes
from serve.control.at_once import require_current
from serve.rollout import advance
from serve.rollout.api_records import (
    Act,
    ActWanted,
    Curves,
    RolloutLine,
    RolloutView,
    RolloutWanted,
    RoutesWanted,
    TrailLine,
)
from serve.rollout.carry import begin
from serve.rollout.controller import Controller
from serve.rollout.latency_limits import steady_of
from serve.rollout.replay import Replay, replay
from serve.rollout.situation import Situation
from serve.rollout.startable import require_startable
from serve.rollout.state.feedback import Feedback, Outcomes
from serve.rollout.state.rollout import RolloutPlan, fix_limits, new_name, start
from serve.rollout.store.store import Store
from serve.rollout.succession import require_acceptable
from serve.rollout.timeline import Timeline
from serve.rollout.trail.qualification import Qualification, QualificationView
from serve.rollout.trail.trail import Action, Change
from serve.rollout.views import lines_of, past, qualifications_of, rollouts_of

_MOST_ENTRIES = 500


class Commands:
    """The operations, a method for each. They wait for the database, so the thread of the store calls them.
    All raise StoreFailed, and what changes something raises LostLease."""

    def __init__(self, controller: Controller, store: Store, timeline: Timeline) -> None:
        self._controller = controller
        self._store = store
        self._timeline = timeline

    def set_routes(self, model: str, wanted: RoutesWanted, by: str) -> Routes:
        """Other routes. Raises UnknownModel, UnknownVariant, InvalidRequest, StaleRevision; RefusedAction
        while a rollout of the model runs."""
        situation = self._at(model)
        now = situation.routes
        if wanted.revision is not None and wanted.revision != now.revision:
            raise StaleRevision(
                f"{model}: routes were read with revision {wanted.revision}, {now.revision} is in force; "
                "read them and decide again",
                now.revision,
            )
        rollout = situation.running
        if rollout is not None and not rollout.watched:
            raise RefusedAction(
                f"rollout {rollout.rollout} moves the traffic of {model!r}; abort it before routes are set"
            )
        for variant in {**(wanted.weights or {}), **(wanted.shadows or {})}:
            _require(variant, situation)
        try:
            routes = wanted.onto(now)
        except InvalidRecord as error:
            raise InvalidRequest(str(error)) from None
        self._end_watch(situation, by, "its watch ended, because routes were set")
        change = Change(
            model=model, action=Action.ROUTES, by=by, at_s=self._controller.clock.now_s(), routes=routes
        )
        self._controller.append(situation, change)
        return routes

    def start(self, model: str, wanted: RolloutWanted, by: str) -> RolloutView:
        """Start a rollout. Raises UnknownModel, UnknownVariant, InvalidRequest; RefusedAction while another
        runs."""
        situation = self._at(model)
        require_startable(situation, wanted)
        variants = (situation.baseline, wanted.candidate)
        plan = RolloutPlan(
            model=model,
            baseline=variants[0],
            candidate=variants[1],
            digests={name: situation.digests[name] for name in variants},
            policy=wanted.policy,
            replicas=situation.replicas,
            trial=wanted.trial,
        )
        now_s = self._controller.clock.now_s()
        name = new_name(model, now_s)
        begun = fix_limits(start(name, plan, None, by, now_s), *steady_of(self._timeline, plan))
        change = begin(begun, self._store.trail(model), fresh=wanted.fresh)
        self._controller.append(situation, change)
        return self._controller.view(situation)

    def qualify(self, model: str, found: Qualification, by: str) -> QualificationView:
        """Write down what was found of a candidate. Raises UnknownModel, UnknownVariant; RefusedAction when
        it was found of other versions than are loaded."""
        situation = self._at(model)
        _require_loaded(situation, found)
        change = Change(
            model=model,
            action=Action.QUALIFY,
            by=by,
            at_s=self._controller.clock.now_s(),
            qualification=found,
        )
        self._controller.append(situation, change)
        return situation.qualifications[-1]

    def qualifications(self, model: str) -> tuple[QualificationView, ...]:
        """All of a model's, newest first. Raises UnknownModel."""
        if (situation := self._controller.situations.get(model)) is not None:
            return tuple(reversed(situation.qualifications))
        self._require_known(model)
        return tuple(reversed(qualifications_of(self._store.trail(model))))

    def act(self, rollout: str, act: Act, wanted: ActWanted, by: str) -> RolloutView:
        """What a person does. Raises UnknownRollout, RefusedAction, StaleRevision."""
        situation = self._at(self._store.model_of(rollout))
        before = situation.present.rollout
        if before is None or before.rollout != rollout:
            raise RefusedAction(f"rollout {rollout} is over; nothing can be done to it any more")
        require_current(situation, wanted)
        now_s = self._controller.clock.now_s()
        match act:
            case "promote":
                after = advance.promote(before, by, now_s, wanted.reason)
            case "pause":
                after = advance.pause(before, by, wanted.reason or "paused")
            case "resume":
                after = advance.resume(before, by, wanted.reason or "resumed")
            case "abort":
                after = advance.abort(before, by, reason := wanted.reason or "aborted")
                if self._controller.withdraw(rollout, by, reason) is not None:
                    self._controller.save()
                    return self._controller.view(situation)
            case "accept":
                after = advance.accept(before, by, wanted.reason or "accepted as the baseline")
                require_acceptable(situation, before)
        self._controller.change(situation, Action(act), after, now_s)
        return self._controller.view(situation)

    def view(self, rollout: str) -> RolloutView:
        """A rollout as it stands. Raises UnknownRollout."""
        model = self._store.model_of(rollout)
        situation = self._controller.situations.get(model)
        last = None if situation is None else situation.present.rollout
        if situation is not None and last is not None and last.rollout == rollout:
            return self._controller.view(situation)
        return past(self._store.trail(model), rollout)

    def rollouts(self, model: str) -> tuple[RolloutLine, ...]:
        """All of a model's, newest first. Raises UnknownModel."""
        if (situation := self._controller.situations.get(model)) is not None:
            return tuple(reversed(situation.lines.values()))
        self._require_known(model)
        return rollouts_of(self._store.trail(model))

    def trail(self, model: str, after: int) -> tuple[TrailLine, ...]:
        """What happened to a model's traffic after the entry of that number, at most 500 entries, oldest
        first. Raises UnknownModel."""
        self._require_known(model)
        return lines_of(self._store.trail(model, after, _MOST_ENTRIES))

    def replay(self, rollout: str) -> Replay:
        """Every verdict computed once more. Raises UnknownRollout."""
        return replay(self._store.trail(self._store.model_of(rollout)), rollout, self._store.key)

    def curves(self, model: str) -> Curves:
        """The last ten minutes. Raises UnknownModel."""
        self._at(model)
        return self._timeline.curves(model)

    def feedback(self, model: str, told: Outcomes, by: str) -> Feedback:
        """Outcomes of requests that were answered before. Raises UnknownModel."""
        return self._controller.learn(self._at(model), told.outcomes)

    def _end_watch(self, situation: Situation, by: str, reason: str) -> None:
        """Nobody watches any more what all traffic goes to, because something else begins."""
        if (rollout := situation.running) is not None and rollout.watched:
            after = advance.end_watch(rollout, by, reason)
            self._controller.change(situation, Action.PROMOTE, after, self._controller.clock.now_s())

    def _at(self, model: str) -> Situation:
        known = self._controller.situations
        if model not in known:
            raise UnknownModel(f"no model {model!r} is served here; {nearest(model, known)}")
        return known[model]

    def _require_known(self, model: str) -> None:
        # What was unloaded still has its history.
        if model not in self._store.models():
            self._at(model)


def _require_loaded(situation: Situation, found: Qualification) -> None:
    """Raise RefusedAction unless it was found of what is loaded."""
    for variant in (found.baseline, found.candidate):
        _require(variant, situation)
    if found.baseline != situation.baseline:
        raise RefusedAction(
            f"the baseline of {situation.model!r} is {situation.baseline!r}, {found.baseline!r} came; "
            "weigh the candidate against that one"
        )
    for variant, digest in found.digests.items():
        if (loaded := situation.digests[variant]) != digest:
            raise RefusedAction(
                f"{variant!r} of {situation.model!r} is loaded with the digest {loaded[:12]}..., and "
                f"{digest[:12]}... was weighed; load that version, or weigh this one"
            )


def _require(variant: str, situation: Situation) -> None:
    situation.unserved.require(situation.model, variant, situation.digests)
