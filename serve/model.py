"""ServedModel: one model being served: its variants' queues, its routes and its tallies."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from serve.batching import Outputs, Queue
from serve.errors import CounterweightError, UnknownVariant
from serve.placement import Placement
from serve.record import nearest
from serve.rollout.tally import Tally
from serve.routing import Routes, choose, point_of
from serve.settings import Settings
from serve.tensor import Arrays, Signature


class ServedModel:
    """One model behind the endpoint. Variants share a signature; routes say who answers."""

    def __init__(
        self, signature: Signature, placements: Mapping[str, Placement], routes: Routes, settings: Settings
    ) -> None:
        self.name = routes.model
        self.signature = signature
        self.routes = routes
        self.tallies = {variant: Tally() for variant in placements}
        self._placements = dict(placements)
        self._queues = {
            variant: Queue(placement, signature, settings.max_batch_rows)
            for variant, placement in placements.items()
        }

    @property
    def variants(self) -> list[str]:
        """The names of the variants, the baseline first."""
        return list(self._queues)

    def require(self, variant: str) -> str:
        """`variant`, if it is served. Raises UnknownVariant."""
        if variant not in self._queues:
            raise UnknownVariant(
                f"model {self.name!r} serves no variant {variant!r}; {nearest(variant, self._queues)}"
            )
        return variant

    def choose(self, key: str | None) -> str:
        """The variant that the routes give to a request with this sticky key."""
        return choose(self.routes, point_of(self.name, key))

    async def infer(self, variant: str, arrays: Arrays) -> Outputs:
        """The variant's answer. Raises ModelFailed or VariantUnavailable."""
        return await self._queues[variant].infer(arrays)

    @contextmanager
    def counted(self, variant: str) -> Iterator[None]:
        """Count what happens inside as one request in the variant's tally."""
        start = time.perf_counter()
        try:
            yield
        except Exception:
            self._count(variant, start, failed=True)
            raise
        # A client that went away is nobody's error: a cancelled request passes here uncounted.
        self._count(variant, start, failed=False)

    def _count(self, variant: str, start: float, *, failed: bool) -> None:
        self.tallies[variant].record((time.perf_counter() - start) * 1e3, failed=failed)

    async def ready(self, variant: str | None = None) -> bool:
        """Whether the variant, or else every variant, would answer now."""
        asked = self.variants if variant is None else [self.require(variant)]
        for name in asked:
            try:
                if not await self._placements[name].ready():
                    return False
            except CounterweightError:
                return False
        return True
