"""A variant in a Ray deployment of its own: the replica with the session, and the gateway's end of it."""

import asyncio
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from serve.errors import CounterweightError, ModelFailed, VariantUnavailable
from serve.placement import Together
from serve.session import open_session
from serve.tensor import Arrays

_READY_TIMEOUT_S = 2.0


class VariantReplica:
    """One Session behind a handle. It exists only once the bundle is verified and warm."""

    def __init__(self, folder: str, threads: int) -> None:
        self._host = Together(open_session(Path(folder), threads=threads))

    async def run(self, arrays: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """The model's outputs."""
        return await self._host.run(arrays)

    async def ready(self) -> bool:
        """True: whoever hears this has a warm session."""
        return await self._host.ready()


class Apart:
    """The placement behind a handle: one call per batch."""

    def __init__(self, name: str, handle: "DeploymentHandle[VariantReplica]") -> None:
        self._name = name
        # Arrays and plain dicts need no cloudpickle.
        self._handle = handle.options(request_serialization="pickle", response_serialization="pickle")

    async def run(self, arrays: Arrays) -> dict[str, NDArray[np.generic]]:
        """The model's outputs. Raises ModelFailed or VariantUnavailable."""
        try:
            outputs: dict[str, NDArray[np.generic]] = await self._handle.run.remote(dict(arrays))
        except CounterweightError as error:
            # Ray's wrapper prints the replica's traceback; the client gets the message alone.
            raise ModelFailed(str(getattr(error, "cause", error))) from error
        except (RayError, RayServeException) as error:
            raise VariantUnavailable(
                f"{self._name} did not answer: {type(error).__name__}; try again"
            ) from error
        return outputs

    async def ready(self) -> bool:
        """Whether a replica of the variant answers."""
        try:
            return bool(await asyncio.wait_for(_result(self._handle), _READY_TIMEOUT_S))
        except (RayError, RayServeException, TimeoutError):
            return False


async def _result(handle: "DeploymentHandle[VariantReplica]") -> bool:
    ready: bool = await handle.ready.remote()
    return ready
