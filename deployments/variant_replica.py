"""A variant in its own Ray application: the replica with the session, and the gateway's side of it."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray
from numpy.typing import NDArray
from ray import serve as ray_serve
from ray.exceptions import RayError, RayTaskError
from ray.serve import Application
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from deployments.logs import ignore_log_errors
from deployments.loopback import close_doors
from serve.base.errors import CounterweightError, ModelFailed, VariantUnavailable
from serve.base.settings import Settings
from serve.base.tensor import Arrays
from serve.engine.catalog import LoadedVariant
from serve.engine.placement import LocalPlacement, Run
from serve.engine.session import open_session

_DEPLOYMENT = "variant"
# Far above the limits of the gateways' queues, so that Ray's limit never applies.
_MAX_ONGOING = 10_000
_HEALTH_EVERY_S = 2.0


class VariantReplica:
    """A session behind a Ray handle. It is created only when the bundle is verified and warm."""

    def __init__(self, folder: str, settings: Settings) -> None:
        close_doors()
        ignore_log_errors()
        self._settings = settings
        self._host = LocalPlacement(open_session(Path(folder), threads=settings.threads))
        self._grown_from = _resident_bytes()

    async def run(self, arrays: dict[str, NDArray[np.generic]]) -> Run:
        """The model's outputs."""
        return await self._host.run(arrays)

    async def ready(self) -> tuple[str, int]:
        """The node and the process that answer; by then the session is warm."""
        await self._host.ready()
        return _node(), os.getpid()

    def check_health(self) -> None:
        """Raise if Ray should replace this replica because it hangs or leaks memory. Also warms it with new
        shapes."""
        limit_s = 2 * self._settings.run_timeout_s
        since = self._host.since
        if since is not None and time.monotonic() - since > limit_s:
            raise VariantUnavailable(f"a run has taken over {limit_s:g} s")
        grown = _resident_bytes() - self._grown_from
        if grown > self._settings.max_growth_bytes:
            raise VariantUnavailable(
                f"its memory has grown by {grown >> 20} MiB since it was loaded, allowed "
                f"{self._settings.max_growth_bytes >> 20} MiB"
            )
        self._host.warm()


class ReplicaPlacement:
    """The placement behind a Ray handle: one call per batch."""

    def __init__(self, host: str, replicas: int) -> None:
        self.runs = replicas
        self._name = host
        # The process of the replica that answered last, if it is on this machine.
        self._process: int | None = None
        handle: DeploymentHandle[VariantReplica] = ray_serve.get_deployment_handle(_DEPLOYMENT, host)
        # Arrays and plain dicts need no cloudpickle.
        self._handle = handle.options(request_serialization="pickle", response_serialization="pickle")

    async def run(self, arrays: Arrays) -> Run:
        """The model's outputs, from a second replica if the first one is lost. Raises the errors of the
        session, and VariantUnavailable."""
        for left in reversed(range(min(2, self.runs))):
            try:
                run: Run = await self._handle.run.remote(dict(arrays))
            except (CounterweightError, RayTaskError) as error:
                raise self._told(error) from None
            except (RayError, RayServeException) as error:
                if not left:
                    raise VariantUnavailable(
                        f"{self._name} did not answer: {type(error).__name__}; try again"
                    ) from error
            else:
                return run
        raise AssertionError("the last try answers or raises")

    async def ready(self) -> bool:
        """Whether a replica of the variant answers."""
        try:
            node, process = await self._handle.ready.remote()
        except (RayError, RayServeException):
            return False
        self._process = process if node == _node() else None
        return True

    async def lost(self) -> None:
        """Return when the only replica is gone, which Ray would take seconds to notice. Never returns if
        there are several, or if it is on another machine."""
        ended = asyncio.Event()
        if self.runs > 1 or self._process is None:
            await ended.wait()
            return
        try:
            descriptor = os.pidfd_open(self._process)
        except ProcessLookupError:
            return
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    def close(self) -> None:
        """Does nothing, because the keeper stops the host."""

    def _told(self, error: Exception) -> CounterweightError:
        """The replica's error. Ray's wrapper would include its traceback; the client gets only the
        message."""
        cause = getattr(error, "cause", error)
        if isinstance(cause, CounterweightError):
            return cause
        return ModelFailed(f"{self._name} failed: {type(cause).__name__}; see the log of its replica")


def host_of(version: LoadedVariant, settings: Settings, replicas: int) -> Application:
    """The application that hosts one version of a variant."""
    deployment: Any = ray_serve.deployment(
        VariantReplica,
        name=_DEPLOYMENT,
        num_replicas=replicas,
        max_ongoing_requests=_MAX_ONGOING,
        health_check_period_s=_HEALTH_EVERY_S,
        health_check_timeout_s=30,
        graceful_shutdown_timeout_s=5,
        graceful_shutdown_wait_loop_s=0.2,
        # No CPU is reserved, because on a small machine the reservation would limit what fits, not the load.
        ray_actor_options={"num_cpus": 0},
    )
    application: Application = deployment.bind(version.folder, settings)
    return application


def _node() -> str:
    node: str = ray.get_runtime_context().get_node_id()
    return node


def _resident_bytes() -> int:
    resident: int = psutil.Process().memory_info().rss
    return resident
