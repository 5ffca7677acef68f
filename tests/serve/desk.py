"""Desk: the control API's other end, in memory, for tests."""

from collections.abc import Callable, Mapping
from typing import Any

from serve.base.errors import (
    InvalidRecord,
    InvalidRequest,
    RefusedAction,
    StaleRevision,
    UnknownModel,
    UnknownRollout,
    UnknownVariant,
)
from serve.base.routing import Routes
from serve.bundles.bundle import sha256
from serve.control.api import Bundles, BundleView
from serve.control.operation import Operation
from serve.counting.usage import Usage
from serve.rollout import advance
from serve.rollout.judging.judge import judge
from serve.rollout.records import (
    Act,
    ActWanted,
    Curves,
    RolloutLine,
    RolloutView,
    RolloutWanted,
    RoutesWanted,
    TrailLine,
)
from serve.rollout.replay import Replay, replay
from serve.rollout.state.feedback import Feedback, Outcomes
from serve.rollout.state.rollout import Plan, Rollout
from serve.rollout.trail.qualification import Qualification, QualificationView
from serve.rollout.trail.trail import Action
from serve.rollout.views import lines_of, qualifications_of
from tests.conftest import make_figures
from tests.serve.shown import USAGE, curve, disagreements
from tests.serve.story import NOW_S, Stage, tell

_ACTS: Mapping[Act, Callable[[Rollout, str, str | None], Rollout]] = {
    "pause": lambda rollout, by, reason: advance.pause(rollout, by, reason or "paused"),
    "resume": lambda rollout, by, reason: advance.resume(rollout, by, reason or "resumed"),
    "promote": lambda rollout, by, reason: advance.promote(rollout, by, NOW_S, reason),
    "abort": lambda rollout, by, reason: advance.abort(rollout, by, reason or "aborted"),
    "accept": lambda rollout, by, reason: advance.accept(rollout, by, reason or "accepted as the baseline"),
}


class Desk:
    """A Control over one model and a story of rollouts. It notes what it was told, and does it."""

    def __init__(
        self,
        stage: Stage = "step",
        *,
        model: str = "linear",
        baseline: str = "base",
        candidate: str = "light",
    ) -> None:
        self._plan = Plan(model=model, baseline=baseline, candidate=candidate)
        self._digests = {variant: sha256(variant.encode()) for variant in (baseline, candidate)}
        self._stage: Stage = stage
        self.forget()

    def forget(self) -> None:
        """As at the beginning."""
        self.story = tell(self._plan.model, self._plan.baseline, self._plan.candidate, self._stage)
        # What changed anything, as it was called.
        self.told: list[tuple[Any, ...]] = []
        # What every call ends with, if anything.
        self.error: Exception | None = None

    async def ask(self, operation: Operation[Any], *arguments: Any) -> Any:
        """The answer of the method of that name."""
        return await getattr(self, operation.name)(*arguments)

    async def set_routes(self, model: str, wanted: RoutesWanted, by: str) -> Routes:
        """Other routes."""
        self._expect(model, "set_routes", model, wanted, by)
        routes = self.story.routes
        if wanted.revision not in (None, routes.revision):
            raise StaleRevision(
                f"revision {wanted.revision} came, {routes.revision} is in force", routes.revision
            )
        self._refuse_if_running()
        try:
            changed = wanted.onto(routes)
        except InvalidRecord as error:
            raise InvalidRequest(str(error)) from None
        self.story.set_routes(changed, by)
        return changed

    async def start(self, model: str, wanted: RolloutWanted, by: str) -> RolloutView:
        """A new rollout, in its shadow."""
        self._expect(model, "start", model, wanted, by)
        if wanted.candidate != self._plan.candidate:
            raise UnknownVariant(f"model {model!r} serves no variant {wanted.candidate!r}")
        self._refuse_if_running()
        plan = self._plan.model_copy(update={"policy": wanted.policy})
        return self._view(self.story.begin(f"{model}-20261122-153000-{len(self.told):04x}", plan, by))

    async def qualify(self, model: str, found: Qualification, by: str) -> QualificationView:
        """Written down, if it is of what is loaded."""
        self._expect(model, "qualify", model, found, by)
        if found.digests != self._digests:
            raise RefusedAction(f"the digests of {model!r} are {self._digests}, {found.digests} came")
        return self.story.qualify(found, by)

    async def qualifications(self, model: str) -> tuple[QualificationView, ...]:
        """All of them, newest first."""
        self._expect(model)
        return tuple(reversed(qualifications_of(self.story.entries)))

    async def act(self, rollout: str, act: Act, wanted: ActWanted, by: str) -> RolloutView:
        """What a person does."""
        number, before = self._find(rollout)
        self.told.append(("act", rollout, act, wanted, by))
        if wanted.number not in (None, number):
            raise StaleRevision(f"entry {wanted.number} came, {number} is the current one", number)
        return self._view(self.story.note(_ACTS[act](before, by, wanted.reason), Action(act), by))

    async def view(self, rollout: str) -> RolloutView:
        """A rollout as it stands."""
        return self._view(self._find(rollout)[1])

    async def rollouts(self, model: str) -> tuple[RolloutLine, ...]:
        """All of them, newest first."""
        self._expect(model)
        return tuple(
            RolloutLine(
                rollout=name,
                candidate=rollout.plan.candidate,
                phase=rollout.phase,
                step=rollout.step,
                started_s=rollout.started_s,
                by=rollout.by,
                changed_s=self.story.changes[number - 1].at_s,
                reason=rollout.reason,
            )
            for name, (number, rollout) in reversed(self.story.rollouts.items())
        )

    async def trail(self, model: str, after: int) -> tuple[TrailLine, ...]:
        """What was done after that entry."""
        self._expect(model)
        return lines_of(self.story.entries[after : after + 500])

    async def replay(self, rollout: str) -> Replay:
        """The real one's findings."""
        self._find(rollout)
        return replay(tuple(self.story.entries), rollout)

    async def curves(self, model: str) -> Curves:
        """Ten minutes by five seconds; the candidate gets its first requests in the third minute."""
        self._expect(model)
        at_s = tuple(NOW_S - 5 * ago for ago in reversed(range(120)))
        return Curves(
            at_s=at_s,
            variants={
                self._plan.baseline: curve([20 - 5 * (point > 60) for point in range(120)], 6.1),
                self._plan.candidate: curve([5 * (point > 60) for point in range(120)], 3.2),
            },
        )

    async def bundles(self, model: str) -> Bundles:
        """Of both variants, each as it is served."""
        self._expect(model)
        bundles = {
            name: BundleView(digest=digest, loaded=digest, rejected=None, figures=make_figures(4000))
            for name, digest in self._digests.items()
        }
        return Bundles(baseline=self._plan.baseline, bundles=bundles)

    async def usage(self) -> Usage:
        """Of a gateway, and of a variant that is placed apart."""
        if self.error is not None:
            raise self.error
        return USAGE

    async def feedback(self, model: str, told: Outcomes, by: str) -> Feedback:
        """Outcomes whose ids say what is wrong: `late-...`, `unknown-...`; a second one is double."""
        self._expect(model, "feedback", model, told, by)
        ids = [outcome.request_id for outcome in told.outcomes]
        late = tuple(name for name in ids if name.startswith("late"))
        unknown = tuple(name for name in ids if name.startswith("unknown"))
        sound = [name for name in ids if name not in (*late, *unknown)]
        double = tuple(name for place, name in enumerate(sound) if name in sound[:place])
        return Feedback(counted=len(sound) - len(double), double=double, late=late, unknown=unknown)

    def _expect(self, model: str, *told: Any) -> None:
        if self.error is not None:
            raise self.error
        if model != self._plan.model:
            raise UnknownModel(f"no model {model!r} is served here; known: {self._plan.model}")
        if told:
            self.told.append(told)

    def _find(self, rollout: str) -> tuple[int, Rollout]:
        if self.error is not None:
            raise self.error
        if rollout not in self.story.rollouts:
            raise UnknownRollout(f"no rollout {rollout!r} in the store; `history` lists those of a model")
        return self.story.rollouts[rollout]

    def _refuse_if_running(self) -> None:
        for name, (_, rollout) in self.story.rollouts.items():
            if not rollout.phase.over:
                raise RefusedAction(f"rollout {name} is in phase {rollout.phase}; abort it first")

    def _view(self, rollout: Rollout) -> RolloutView:
        evidence = self.story.evidence[rollout.rollout]
        number, _ = self.story.rollouts[rollout.rollout]
        changes = [
            change
            for change in self.story.changes
            if change.rollout is not None and change.rollout.rollout == rollout.rollout
        ]
        last = next((change.judged.verdict for change in reversed(changes) if change.judged), None)
        verdict = last if rollout.phase.over else judge(rollout, evidence, NOW_S)
        requests = evidence.segments[-1].requests if evidence.segments else None
        return RolloutView(
            rollout=rollout,
            number=number,
            routes=self.story.routes,
            evidence=evidence,
            verdict=verdict,
            judged_s=None if verdict is None else NOW_S,
            served=requests.candidate / requests.both if requests else None,
            disagreements=disagreements(evidence.shadow.disagreements),
        )
