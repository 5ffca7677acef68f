"""Control: the operations that the keeper answers, for people and programs."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from serve.base.record import Record
from serve.base.routing import Routes
from serve.bundles.figures import Figures
from serve.counting.usage import Usage
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
from serve.rollout.replay import Replay
from serve.rollout.state.feedback import Feedback, Outcome
from serve.rollout.trail.qualification import Qualification, QualificationView


class BundleView(Record):
    """A bundle in the repository."""

    digest: str
    # Of the version that is served; None: none is.
    loaded: str | None
    # Why it gets no traffic; None: it may.
    rejected: str | None
    figures: Figures
    # Whether nobody has measured it on held-out rows.
    unproven: bool = False


class Bundles(Record):
    """All of a model's, by variant."""

    baseline: str
    bundles: Mapping[str, BundleView]


class Control(Protocol):
    """The keeper, to whoever speaks to people. All raise StoreFailed, and what writes raises LostLease."""

    async def set_routes(self, model: str, wanted: RoutesWanted, by: str) -> Routes:
        """Other routes. Raises UnknownModel, UnknownVariant, InvalidRequest, StaleRevision; RefusedAction
        while a rollout of the model runs."""
        ...

    async def start(self, model: str, wanted: RolloutWanted, by: str) -> RolloutView:
        """Start a rollout. Raises UnknownModel, UnknownVariant, InvalidRequest; RefusedAction while another
        runs."""
        ...

    async def act(self, rollout: str, act: Act, wanted: ActWanted, by: str) -> RolloutView:
        """What a person does. Raises UnknownRollout, RefusedAction, StaleRevision."""
        ...

    async def qualify(self, model: str, found: Qualification, by: str) -> QualificationView:
        """Write down what was found of a candidate. Raises UnknownModel, UnknownVariant; RefusedAction when
        it was found of other versions than are loaded."""
        ...

    async def qualifications(self, model: str) -> tuple[QualificationView, ...]:
        """All of a model's, newest first. Raises UnknownModel."""
        ...

    async def view(self, rollout: str) -> RolloutView:
        """A rollout as it stands. Raises UnknownRollout."""
        ...

    async def rollouts(self, model: str) -> tuple[RolloutLine, ...]:
        """All of a model's, newest first. Raises UnknownModel."""
        ...

    async def trail(self, model: str, after: int) -> tuple[TrailLine, ...]:
        """What happened to a model's traffic after the entry of that number, at most 500 entries, oldest
        first. Raises UnknownModel."""
        ...

    async def replay(self, rollout: str) -> Replay:
        """Every verdict computed once more. Raises UnknownRollout."""
        ...

    async def curves(self, model: str) -> Curves:
        """The last ten minutes. Raises UnknownModel."""
        ...

    async def bundles(self, model: str) -> Bundles:
        """What is in the repository of a model, served or not. Raises UnknownModel and InvalidBundle."""
        ...

    async def usage(self) -> Usage:
        """What the server's processes have cost so far, at most a quarter of a second old."""
        ...

    async def feedback(self, model: str, outcomes: Sequence[Outcome]) -> Feedback:
        """Outcomes of requests that were answered before. Raises UnknownModel."""
        ...
