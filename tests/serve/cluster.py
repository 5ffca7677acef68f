"""Cluster: a placement like `apart` without Ray, whose hosts can be lost."""

import asyncio
from pathlib import Path

from serve.base.errors import VariantUnavailable
from serve.base.tensor import Arrays
from serve.engine.catalog import LoadedVariant
from serve.engine.placement import LocalPlacement, Placement, Run
from serve.engine.session import open_session


class Remote:
    """A session that gets copies of the arrays, as over a network."""

    runs = 1

    def __init__(self, version: LoadedVariant) -> None:
        self._host = LocalPlacement(open_session(Path(version.folder)))
        self._gone = asyncio.Event()

    async def run(self, arrays: Arrays) -> Run:
        """The model's outputs. Raises what the session raises; VariantUnavailable once the host is lost."""
        if not self._gone.is_set():
            outputs, cpu_ms = await self._host.run({name: array.copy() for name, array in arrays.items()})
        if self._gone.is_set():
            raise VariantUnavailable("the host did not answer: ActorDiedError; try again")
        return {name: array.copy() for name, array in outputs.items()}, cpu_ms

    async def ready(self) -> bool:
        """Return whether the host is there."""
        return not self._gone.is_set()

    async def lost(self) -> None:
        """Return when the host is lost."""
        await self._gone.wait()

    def close(self) -> None:
        """Close the host."""
        self._host.close()

    async def kill(self) -> None:
        """Lose the host for good."""
        self._gone.set()


class Cluster:
    """Where remote variants run, by model and variant."""

    def __init__(self) -> None:
        self.hosts: dict[str, Remote] = {}

    async def place(self, version: LoadedVariant) -> Placement:
        """Return the host of a version, as `serve.engine.registry.Place` does."""
        folder = Path(version.folder)
        host = self.hosts[f"{folder.parent.name}/{folder.name}"] = Remote(version)
        return host
