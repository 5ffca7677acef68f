"""Gateway: a registry without Ray, whose hosts the test controls."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from serve.base.routing import Routes
from serve.base.settings import Settings
from serve.base.tensor import Signature
from serve.counting.journal import Journal
from serve.engine.catalog import Catalog, LoadedModel, LoadedVariant
from serve.engine.model import ServedModel
from serve.engine.placement import Placement
from serve.engine.registry import Registry
from tests.conftest import SIGNATURE
from tests.serve.clock import settle
from tests.serve.host import Host
from tests.serve.served_model import ask, scale_of

T = TypeVar("T")


class Gateway:
    """A registry whose hosts the test controls. A variant's version is a number by which its answers are
    scaled."""

    def __init__(
        self, folder: Path, signature: Signature = SIGNATURE, journal: Journal | None = None
    ) -> None:
        self.hosts: dict[tuple[str, int], Host] = {}
        # Variant -> why this gateway cannot load it.
        self.broken: dict[str, Exception] = {}
        # While this is unset, loading does not end.
        self.loads = asyncio.Event()
        self.loads.set()
        self.registry = Registry(self._place, Settings(), journal)
        self._folder = folder
        self._signature = signature

    @property
    def model(self) -> ServedModel:
        """Return the model `linear` as it is served now."""
        return self.registry.models["linear"]

    def catalog(
        self, revision: int, *, signature: Signature | None = None, weight: float = 0, **versions: int
    ) -> Catalog:
        """These versions of the variants of `linear`; none: no model."""
        if not versions:
            return Catalog(revision=revision)
        weights = {"base": 1, "light": weight} if "light" in versions else {"base": 1}
        loaded = LoadedModel(
            name="linear",
            signature=signature or self._signature,
            task="classification",
            routes=Routes(model="linear", baseline="base", weights=weights, revision=revision),
            variants={name: self._version(name, number) for name, number in versions.items()},
        )
        return Catalog(revision=revision, models={"linear": loaded})

    async def apply(
        self, revision: int, *, signature: Signature | None = None, weight: float = 0, **versions: int
    ) -> dict[str, str]:
        """Apply a catalog with these versions."""
        return await self.registry.apply(
            self.catalog(revision, signature=signature, weight=weight, **versions)
        )

    async def ask(self, pinned: str | None = None) -> float:
        """Return the version of the variant that answers."""
        return scale_of(await ask(self.model, pinned=pinned))

    async def _place(self, version: LoadedVariant) -> Placement:
        await self.loads.wait()
        name, number = version.host or "", int(version.digest, 16)
        if name in self.broken:
            raise self.broken[name]
        self.hosts[name, number] = Host(scale=number)
        return self.hosts[name, number]

    def _version(self, name: str, number: int) -> LoadedVariant:
        # All variants have the same bundle, of which the gateway reads only the tokenizer.
        return LoadedVariant(digest=f"{number:064x}", folder=str(self._folder), host=name, full_rows=8)


def run(gateway: Gateway, scenario: Coroutine[Any, Any, T]) -> T:
    """Return the scenario's result, and serve nothing afterwards."""

    async def played() -> T:
        try:
            return await scenario
        finally:
            for host in gateway.hosts.values():
                host.leave.set()
            await gateway.apply(99)
            await settle()
            assert all(host.closed for host in gateway.hosts.values()), "a placement was not let go"

    return asyncio.run(played())
