"""Remote: the keeper, as the gateways' HTTP and gRPC see it."""

import asyncio
from collections.abc import Sequence
from typing import Any

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from deployments.keeper import Keeper
from serve.base.errors import CounterweightError, RefusedAction, StaleRevision, Unwritten, VariantUnavailable
from serve.base.routing import Routes
from serve.control.api import Bundles
from serve.counting.breaker import Trip
from serve.counting.usage import Usage
from serve.engine.catalog import IndexEntry
from serve.engine.keeper_silence import Judging
from serve.engine.registry import Registry
from serve.rollout.notices import Notices
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

# Then an abort acts without the keeper.
_ABORT_WITHIN_S = 0.6
_LOOK_EVERY_S = 0.5
_SILENT = (
    "the keeper does not answer, so nobody judges; what is in force stays in force, and an abort acts all "
    "the same; try again"
)


class RemoteRepository:
    """The keeper's end of `serve.engine.catalog.Repository`."""

    def __init__(self, keeper: "DeploymentHandle[Keeper]", judging: Judging) -> None:
        """`judging` is what this gateway knows of the keeper."""
        self._keeper = keeper
        self._judging = judging

    async def index(self) -> list[IndexEntry]:
        """Every variant of every model in the repository, by name."""
        entries: list[IndexEntry] = await _answer(self._keeper.index.remote(), self._judging)
        return entries

    async def load(self, model: str, variant: str | None) -> None:
        """Load as it stands on disk now."""
        await _asked(self._keeper.load.remote(model, variant))

    async def unload(self, model: str, variant: str | None) -> None:
        """Stop serving."""
        await _asked(self._keeper.unload.remote(model, variant))


class RemoteControl:
    """The keeper's end of `serve.control.api.Control`."""

    def __init__(self, keeper: "DeploymentHandle[Keeper]", registry: Registry, notices: Notices) -> None:
        """`registry` and `notices` are those of this gateway, for what cannot wait for the keeper."""
        self._keeper = keeper
        self._registry = registry
        self._notices = notices

    async def set_routes(self, model: str, wanted: RoutesWanted, by: str) -> Routes:
        """Other routes."""
        routes: Routes = await self._command("set_routes", model, wanted, by)
        return routes

    async def start(self, model: str, wanted: RolloutWanted, by: str) -> RolloutView:
        """Start a rollout."""
        view: RolloutView = await self._command("start", model, wanted, by)
        return view

    async def act(self, rollout: str, act: Act, wanted: ActWanted, by: str) -> RolloutView:
        """What a person does. Raises Unwritten for an abort that no keeper has taken."""
        command = self._command("act", rollout, act, wanted, by)
        if act == "abort":
            trip = Trip(rollout=rollout, by=by, reason=wanted.reason or "aborted")
            return await self._abort(trip, asyncio.ensure_future(command))
        view: RolloutView = await command
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
        bundles: Bundles = await _answer(self._keeper.bundles.remote(model), self._registry.judging)
        return bundles

    async def usage(self) -> Usage:
        """What the server's processes have cost so far."""
        usage: Usage = await _answer(self._keeper.usage.remote(), self._registry.judging)
        return usage

    async def feedback(self, model: str, outcomes: Sequence[Outcome]) -> Feedback:
        """Outcomes of requests that were answered before."""
        feedback: Feedback = await self._command("feedback", model, outcomes)
        return feedback

    async def _abort(self, trip: Trip, command: "asyncio.Future[RolloutView]") -> RolloutView:
        """The keeper's answer to an abort, which acts here when that does not come in a moment."""
        stopped = ""
        try:
            if not (await asyncio.wait([command], timeout=_ABORT_WITHIN_S))[0]:
                stopped = self._stop(trip)
            return await command
        except VariantUnavailable as error:
            if not (stopped := stopped or self._stop(trip)):
                raise
            raise Unwritten(f"{stopped}; {error}") from None
        except (RefusedAction, StaleRevision):
            if not stopped:
                raise
            # The keeper has heard of it from a gateway before it read the command.
            return await self.view(trip.rollout)
        finally:
            command.cancel()

    def _stop(self, trip: Trip) -> str:
        """Give all requests of a rollout to its baseline, in every gateway. What was done; empty: it does not
        run here."""
        if trip.rollout not in self._registry.rollouts:
            return ""
        where = "in any gateway"
        if not self._notices.put(trip):
            where = "in this gateway; the others could not be told"
        self._registry.stop(trip)
        return (
            f"rollout {trip.rollout} is aborted by {trip.by}, and its candidate gets no requests any more "
            f"{where}; it is written down when the keeper is back"
        )

    async def _command(self, name: str, *arguments: Any) -> Any:
        return await _answer(self._keeper.command.remote(name, *arguments), self._registry.judging)


async def _answer(call: Any, judging: Judging) -> Any:
    """The keeper's answer, however long it takes while the keeper gives signs of life, or its error as it
    raised it. Raises CounterweightError."""
    waiting = asyncio.ensure_future(_asked(call))
    try:
        while not (await asyncio.wait([waiting], timeout=_LOOK_EVERY_S))[0]:
            if judging.silent:
                raise VariantUnavailable(_SILENT)
        return waiting.result()
    finally:
        waiting.cancel()


async def _asked(call: Any) -> Any:
    """The keeper's answer, or its error as it raised it. Raises CounterweightError."""
    try:
        return await call
    except CounterweightError as error:
        # Ray's wrapper prints the replica's traceback.
        raise getattr(error, "cause", error) from None
    except (RayError, RayServeException) as error:
        raise VariantUnavailable(f"the keeper does not answer ({type(error).__name__}); try again") from None
