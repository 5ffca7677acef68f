"""The gateway's side of the keeper: calls over Ray."""

import asyncio
from typing import Any, TypeVar, cast

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from deployments.keeper import Keeper
from serve.base.errors import CounterweightError, RefusedAction, StaleRevision, Unwritten, VariantUnavailable
from serve.control.operation_row import Operation
from serve.control.operations import ACTS, VIEW
from serve.counting.breaker import Trip
from serve.counting.usage import Usage
from serve.engine.catalog import IndexEntry
from serve.engine.keeper_silence import KeeperSilence
from serve.engine.registry import Registry
from serve.rollout.api_records import RolloutView
from serve.rollout.pending_aborts import PendingAborts

A = TypeVar("A")

# After this time, an abort takes effect without the keeper.
_ABORT_WITHIN_S = 0.6
_LOOK_EVERY_S = 0.5
_SILENT = (
    "the keeper does not answer, so nobody judges; the present routes stay in force, and an abort still "
    "takes effect; try again"
)


class RemoteRepository:
    """Implements `serve.engine.catalog.Repository` with calls to the keeper."""

    def __init__(self, keeper: "DeploymentHandle[Keeper]", judging: KeeperSilence) -> None:
        """`judging` has what this gateway knows about the keeper."""
        self._keeper = keeper
        self._judging = judging

    async def index(self) -> list[IndexEntry]:
        """Every variant of every model in the repository, by name."""
        entries: list[IndexEntry] = await _answer(self._keeper.index.remote(), self._judging)
        return entries

    async def load(self, model: str, variant: str | None) -> None:
        """Load from the present files."""
        await _asked(self._keeper.load.remote(model, variant))

    async def unload(self, model: str, variant: str | None) -> None:
        """Stop serving a variant or a model."""
        await _asked(self._keeper.unload.remote(model, variant))


class RemoteControl:
    """Implements `serve.control.api.Control` with calls to the keeper."""

    def __init__(
        self, keeper: "DeploymentHandle[Keeper]", registry: Registry, pending_aborts: PendingAborts
    ) -> None:
        """`registry` and `pending_aborts` are for acts that cannot wait for the keeper."""
        self._keeper = keeper
        self._registry = registry
        self._pending_aborts = pending_aborts

    async def ask(self, operation: Operation[A], *arguments: Any) -> A:
        """The keeper's answer. Raises Unwritten for an abort that no keeper has received."""
        command = self._command(operation.name, *arguments)
        if operation is not ACTS["abort"]:
            return cast("A", await command)
        rollout, _, request, by = arguments
        trip = Trip(rollout=rollout, by=by, reason=request.reason or "aborted")
        return cast("A", await self._abort(trip, asyncio.ensure_future(command)))

    async def usage(self) -> Usage:
        """The usage of the server's processes so far."""
        usage: Usage = await _answer(self._keeper.usage.remote(), self._registry.judging)
        return usage

    async def _abort(self, trip: Trip, command: "asyncio.Future[RolloutView]") -> RolloutView:
        """The keeper's answer to an abort. Without a quick answer, the abort takes effect here."""
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
            # A gateway reported the abort before the keeper read the command.
            return await self.ask(VIEW, trip.rollout)
        finally:
            command.cancel()

    def _stop(self, trip: Trip) -> str:
        """Give all requests of a rollout to its baseline, in every gateway. Returns a description; empty if
        the rollout is not in progress here."""
        if trip.rollout not in self._registry.rollouts:
            return ""
        where = "in any gateway"
        if not self._pending_aborts.put(trip):
            where = "in this gateway; the others could not be notified"
        self._registry.stop(trip)
        return (
            f"rollout {trip.rollout} was aborted by {trip.by}, and its candidate gets no more requests "
            f"{where}; this is written to the store when the keeper is back"
        )

    async def _command(self, name: str, *arguments: Any) -> Any:
        return await _answer(self._keeper.command.remote(name, *arguments), self._registry.judging)


async def _answer(call: Any, judging: KeeperSilence) -> Any:
    """The keeper's answer or its original error, however long it takes while the keeper is alive. Raises
    CounterweightError."""
    waiting = asyncio.ensure_future(_asked(call))
    try:
        while not (await asyncio.wait([waiting], timeout=_LOOK_EVERY_S))[0]:
            if judging.silent:
                raise VariantUnavailable(_SILENT)
        return waiting.result()
    finally:
        waiting.cancel()


async def _asked(call: Any) -> Any:
    """The keeper's answer or its original error. Raises CounterweightError."""
    try:
        return await call
    except CounterweightError as error:
        # Ray's wrapper would print the replica's traceback.
        raise getattr(error, "cause", error) from None
    except (RayError, RayServeException) as error:
        raise VariantUnavailable(f"the keeper does not answer ({type(error).__name__}); try again") from None
