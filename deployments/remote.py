"""Remote: the keeper, as the gateways' HTTP and gRPC see it."""

from collections.abc import Sequence
from typing import Any

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from deployments.keeper import Keeper
from serve.catalog import IndexEntry
from serve.control import (
    Act,
    ActWanted,
    Bundles,
    Curves,
    RolloutLine,
    RolloutView,
    RolloutWanted,
    RoutesWanted,
    TrailLine,
)
from serve.errors import CounterweightError, VariantUnavailable
from serve.observe.usage import Usage
from serve.rollout.feedback import Feedback, Outcome
from serve.rollout.qualification import Qualification, QualificationView
from serve.rollout.replay import Replay
from serve.routing import Routes


class RemoteRepository:
    """The keeper's end of `serve.catalog.Repository`."""

    def __init__(self, keeper: "DeploymentHandle[Keeper]") -> None:
        self._keeper = keeper

    async def index(self) -> list[IndexEntry]:
        """Every variant of every model in the repository, by name."""
        entries: list[IndexEntry] = await _asked(self._keeper.index.remote())
        return entries

    async def load(self, model: str, variant: str | None) -> None:
        """Load as it stands on disk now."""
        await _asked(self._keeper.load.remote(model, variant))

    async def unload(self, model: str, variant: str | None) -> None:
        """Stop serving."""
        await _asked(self._keeper.unload.remote(model, variant))


class RemoteControl:
    """The keeper's end of `serve.control.Control`."""

    def __init__(self, keeper: "DeploymentHandle[Keeper]") -> None:
        self._keeper = keeper

    async def set_routes(self, model: str, wanted: RoutesWanted, by: str) -> Routes:
        """Other routes."""
        routes: Routes = await self._command("set_routes", model, wanted, by)
        return routes

    async def start(self, model: str, wanted: RolloutWanted, by: str) -> RolloutView:
        """Start a rollout."""
        view: RolloutView = await self._command("start", model, wanted, by)
        return view

    async def act(self, rollout: str, act: Act, wanted: ActWanted, by: str) -> RolloutView:
        """What a person does."""
        view: RolloutView = await self._command("act", rollout, act, wanted, by)
        return view

    async def qualify(self, model: str, found: Qualification, by: str) -> QualificationView:
        """Write down what was found of a candidate."""
        view: QualificationView = await self._command("qualify", model, found, by)
        return view

    async def qualifications(self, model: str) -> tuple[QualificationView, ...]:
        """All of a model's."""
        views: tuple[QualificationView, ...] = await self._command("qualifications", model)
        return views

    async def view(self, rollout: str) -> RolloutView:
        """A rollout as it stands."""
        view: RolloutView = await self._command("view", rollout)
        return view

    async def rollouts(self, model: str) -> tuple[RolloutLine, ...]:
        """All of a model's."""
        lines: tuple[RolloutLine, ...] = await self._command("rollouts", model)
        return lines

    async def trail(self, model: str, after: int) -> tuple[TrailLine, ...]:
        """What happened to a model's traffic."""
        lines: tuple[TrailLine, ...] = await self._command("trail", model, after)
        return lines

    async def replay(self, rollout: str) -> Replay:
        """Every verdict computed once more."""
        replay: Replay = await self._command("replay", rollout)
        return replay

    async def curves(self, model: str) -> Curves:
        """The last ten minutes."""
        curves: Curves = await self._command("curves", model)
        return curves

    async def bundles(self, model: str) -> Bundles:
        """What is in the repository of a model."""
        bundles: Bundles = await _asked(self._keeper.bundles.remote(model))
        return bundles

    async def usage(self) -> Usage:
        """What the server's processes have cost so far."""
        usage: Usage = await _asked(self._keeper.usage.remote())
        return usage

    async def feedback(self, model: str, outcomes: Sequence[Outcome]) -> Feedback:
        """Outcomes of requests that were answered before."""
        feedback: Feedback = await self._command("feedback", model, outcomes)
        return feedback

    async def _command(self, name: str, *arguments: Any) -> Any:
        return await _asked(self._keeper.command.remote(name, *arguments))


async def _asked(call: Any) -> Any:
    """The keeper's answer, or its error as it raised it. Raises CounterweightError."""
    try:
        return await call
    except CounterweightError as error:
        # Ray's wrapper prints the replica's traceback.
        raise getattr(error, "cause", error) from None
    except (RayError, RayServeException) as error:
        raise VariantUnavailable(f"the keeper does not answer ({type(error).__name__}); try again") from None
