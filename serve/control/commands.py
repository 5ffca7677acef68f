"""The operations of the control API that the keeper answers."""

from serve.base.errors import InvalidRecord, InvalidRequest, RefusedAction, StaleRevision, UnknownModel
from serve.base.record import nearest
from serve.base.routing import Routes
from serve.control.memory_operations import require_current
from serve.rollout import advance
from serve.rollout.accept_check import check_accept
from serve.rollout.api_records import (
    Act,
    ActRequest,
    Curves,
    RolloutLine,
    RolloutRequest,
    RolloutView,
    RoutesRequest,
    TrailLine,
)
from serve.rollout.controller import Controller
from serve.rollout.earlier_evidence import begin
from serve.rollout.latency_limits import steady_of
from serve.rollout.model_state import ModelState
from serve.rollout.replay import Replay, replay
from serve.rollout.start_check import check_start
from serve.rollout.state.feedback import Feedback, Outcomes
from serve.rollout.state.rollout import RolloutPlan, fix_limits, new_name, start
from serve.rollout.store.store import Store
from serve.rollout.timeline import Timeline
from serve.rollout.trail.qualification import Qualification, QualificationView
from serve.rollout.trail.trail import Action, Change
from serve.rollout.views import lines_of, past, qualifications_of, rollouts_of

_MOST_ENTRIES = 500


class Commands:
    """One method per operation. The methods wait for the database, so the store's thread calls them. All
    raise StoreFailed; those that change something also raise LostLease."""

    def __init__(self, controller: Controller, store: Store, timeline: Timeline) -> None:
        self._controller = controller
        self._store = store
        self._timeline = timeline

    def set_routes(self, model: str, request: RoutesRequest, by: str) -> Routes:
        """Set the routes. Raises UnknownModel, UnknownVariant, InvalidRequest, StaleRevision; RefusedAction
        while the model has a rollout in progress."""
        state = self._at(model)
        now = state.routes
        if request.revision is not None and request.revision != now.revision:
            raise StaleRevision(
                f"{model}: the routes were read with revision {request.revision}, but {now.revision} is in "
                "force; read them again and decide again",
                now.revision,
            )
        rollout = state.running
        if rollout is not None and not rollout.watched:
            raise RefusedAction(
                f"rollout {rollout.rollout} is moving the traffic of {model!r}; abort it before you set "
                "routes"
            )
        for variant in {**(request.weights or {}), **(request.shadows or {})}:
            _require(variant, state)
        try:
            routes = request.onto(now)
        except InvalidRecord as error:
            raise InvalidRequest(str(error)) from None
        self._end_watch(state, by, "the watch ended because routes were set")
        change = Change(
            model=model, action=Action.ROUTES, by=by, at_s=self._controller.clock.now_s(), routes=routes
        )
        self._controller.append(state, change)
        return routes

    def start(self, model: str, request: RolloutRequest, by: str) -> RolloutView:
        """Start a rollout. Raises UnknownModel, UnknownVariant, InvalidRequest; RefusedAction while another
        one is in progress."""
        state = self._at(model)
        check_start(state, request)
        variants = (state.baseline, request.candidate)
        plan = RolloutPlan(
            model=model,
            baseline=variants[0],
            candidate=variants[1],
            digests={name: state.digests[name] for name in variants},
            policy=request.policy,
            replicas=state.replicas,
            trial=request.trial,
        )
        now_s = self._controller.clock.now_s()
        name = new_name(model, now_s)
        begun = fix_limits(start(name, plan, None, by, now_s), *steady_of(self._timeline, plan))
        change = begin(begun, self._store.trail(model), fresh=request.fresh)
        self._controller.append(state, change)
        return self._controller.view(state)

    def qualify(self, model: str, qualification: Qualification, by: str) -> QualificationView:
        """Store a qualification result. Raises UnknownModel, UnknownVariant; RefusedAction if it belongs to
        other versions than the loaded ones."""
        state = self._at(model)
        _require_loaded(state, qualification)
        change = Change(
            model=model,
            action=Action.QUALIFY,
            by=by,
            at_s=self._controller.clock.now_s(),
            qualification=qualification,
        )
        self._controller.append(state, change)
        return state.qualifications[-1]

    def qualifications(self, model: str) -> tuple[QualificationView, ...]:
        """The qualification results of a model, newest first. Raises UnknownModel."""
        if (state := self._controller.states.get(model)) is not None:
            return tuple(reversed(state.qualifications))
        self._require_known(model)
        return tuple(reversed(qualifications_of(self._store.trail(model))))

    def act(self, rollout: str, act: Act, request: ActRequest, by: str) -> RolloutView:
        """Apply an act of a person. Raises UnknownRollout, RefusedAction, StaleRevision."""
        state = self._at(self._store.model_of(rollout))
        before = state.present.rollout
        if before is None or before.rollout != rollout:
            raise RefusedAction(f"rollout {rollout} is over; it cannot be changed any more")
        require_current(state, request)
        now_s = self._controller.clock.now_s()
        match act:
            case "promote":
                after = advance.promote(before, by, now_s, request.reason)
            case "pause":
                after = advance.pause(before, by, request.reason or "paused")
            case "resume":
                after = advance.resume(before, by, request.reason or "resumed")
            case "abort":
                after = advance.abort(before, by, reason := request.reason or "aborted")
                if self._controller.withdraw(rollout, by, reason) is not None:
                    self._controller.save()
                    return self._controller.view(state)
            case "accept":
                after = advance.accept(before, by, request.reason or "accepted as the baseline")
                check_accept(state, before)
        self._controller.change(state, Action(act), after, now_s)
        return self._controller.view(state)

    def view(self, rollout: str) -> RolloutView:
        """The present state of a rollout. Raises UnknownRollout."""
        model = self._store.model_of(rollout)
        state = self._controller.states.get(model)
        last = None if state is None else state.present.rollout
        if state is not None and last is not None and last.rollout == rollout:
            return self._controller.view(state)
        return past(self._store.trail(model), rollout)

    def rollouts(self, model: str) -> tuple[RolloutLine, ...]:
        """The rollouts of a model, newest first. Raises UnknownModel."""
        if (state := self._controller.states.get(model)) is not None:
            return tuple(reversed(state.lines.values()))
        self._require_known(model)
        return rollouts_of(self._store.trail(model))

    def trail(self, model: str, after: int) -> tuple[TrailLine, ...]:
        """The entries of a model's trail after number `after`, at most 500, oldest first. Raises
        UnknownModel."""
        self._require_known(model)
        return lines_of(self._store.trail(model, after, _MOST_ENTRIES))

    def replay(self, rollout: str) -> Replay:
        """Compute every verdict again from its stored evidence. Raises UnknownRollout."""
        return replay(self._store.trail(self._store.model_of(rollout)), rollout, self._store.key)

    def curves(self, model: str) -> Curves:
        """The charts of the last ten minutes. Raises UnknownModel."""
        self._at(model)
        return self._timeline.curves(model)

    def feedback(self, model: str, outcomes: Outcomes, by: str) -> Feedback:
        """Add labels of answered requests. Raises UnknownModel."""
        return self._controller.learn(self._at(model), outcomes.outcomes)

    def _end_watch(self, state: ModelState, by: str, reason: str) -> None:
        """End the watch after the last step, because something else begins."""
        if (rollout := state.running) is not None and rollout.watched:
            after = advance.end_watch(rollout, by, reason)
            self._controller.change(state, Action.PROMOTE, after, self._controller.clock.now_s())

    def _at(self, model: str) -> ModelState:
        known = self._controller.states
        if model not in known:
            raise UnknownModel(f"no model {model!r} is served here; {nearest(model, known)}")
        return known[model]

    def _require_known(self, model: str) -> None:
        # An unloaded model still has its history.
        if model not in self._store.models():
            self._at(model)


def _require_loaded(state: ModelState, qualification: Qualification) -> None:
    """Raise RefusedAction unless the result belongs to the loaded versions."""
    for variant in (qualification.baseline, qualification.candidate):
        _require(variant, state)
    if qualification.baseline != state.baseline:
        raise RefusedAction(
            f"the baseline of {state.model!r} is {state.baseline!r}, but the result is against "
            f"{qualification.baseline!r}; qualify the candidate against the present baseline"
        )
    for variant, digest in qualification.digests.items():
        if (loaded := state.digests[variant]) != digest:
            raise RefusedAction(
                f"{variant!r} of {state.model!r} is loaded with the digest {loaded[:12]}..., but the "
                f"result is for {digest[:12]}...; load that version, or qualify this one"
            )


def _require(variant: str, state: ModelState) -> None:
    state.unserved.require(state.model, variant, state.digests)
