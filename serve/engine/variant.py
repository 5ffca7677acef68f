"""One served variant: its placement, its queue, and whether its process answers."""

import asyncio
import logging

from serve.base.errors import CounterweightError, Overloaded, VariantUnavailable
from serve.base.tensor import Arrays
from serve.engine.batch import Outputs
from serve.engine.catalog import LoadedVariant
from serve.engine.placement import Placement
from serve.engine.queue import Queue, Ran

_log = logging.getLogger("counterweight.variant")
_PROBE_EVERY_S = 0.25
_PROBE_TIMEOUT_S = 2.0


class ServedVariant:
    """One version of one variant. After a failure of its process, requests are refused until a probe
    succeeds."""

    def __init__(self, name: str, version: LoadedVariant, placement: Placement, queue: Queue) -> None:
        self.name = name
        # The version of the variant.
        self.version = version
        self.queue = queue
        self._placement = placement
        self._up = asyncio.Event()
        self._up.set()
        self._down = asyncio.Event()
        self._watching = asyncio.create_task(self._watch())
        self._retired = False
        # The number of requests that wait until it is up again.
        self._held = 0

    @property
    def up(self) -> bool:
        """Whether the process answered the last time."""
        return self._up.is_set()

    def refuse_if_full(self) -> None:
        """Raise Overloaded if another request would wait too long."""
        self.queue.refuse_if_full()
        if self._held >= self.queue.settings.max_queue_rows:
            raise Overloaded(
                f"variant {self.name!r} is down and {self._held} requests wait for it; try again later", 1
            )

    async def infer(self, arrays: Arrays, deadline: float) -> Ran:
        """The variant's answer. Raises the errors of its queue, and VariantUnavailable at once while it is
        down or after it was retired."""
        if self._retired:
            raise VariantUnavailable(f"variant {self.name!r} was unloaded meanwhile; try again")
        if not self.up:
            raise VariantUnavailable(f"variant {self.name!r} does not answer; try again in a moment")
        try:
            return await self.queue.infer(arrays, deadline)
        except VariantUnavailable as error:
            self._go_down(error)
            raise

    async def run_aside(self, arrays: Arrays) -> Outputs:
        """Run arrays outside the queue, for a shadow. Raises InvalidRequest, ModelFailed or
        VariantUnavailable; the last marks the variant as down, as for requests."""
        if self._retired or not self.up:
            raise VariantUnavailable(f"variant {self.name!r} does not answer")
        try:
            async with asyncio.timeout(self.queue.settings.run_timeout_s):
                outputs, _ = await self._placement.run(arrays)
                return outputs
        except TimeoutError:
            late = VariantUnavailable(f"a run took over {self.queue.settings.run_timeout_s:g} s")
            self._go_down(late)
            raise late from None
        except VariantUnavailable as error:
            self._go_down(error)
            raise

    async def recovered(self, deadline: float) -> bool:
        """Wait until the variant is up again or retired, or until `deadline` on the loop's clock. Returns
        False if it is still down. Raises Overloaded."""
        self.refuse_if_full()
        self._held += 1
        try:
            async with asyncio.timeout_at(deadline):
                await self._up.wait()
        except TimeoutError:
            pass
        finally:
            self._held -= 1
        return self.up

    async def ready(self) -> bool:
        """Whether it can answer now."""
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                return await self._placement.ready()
        except (CounterweightError, TimeoutError):
            return False

    async def retire(self) -> None:
        """Finish the accepted requests, then close the placement."""
        await self.queue.drain()
        self._retired = True
        self._watching.cancel()
        self._placement.close()
        # Waiting requests may find a successor with the same name.
        self._up.set()

    def _go_down(self, error: VariantUnavailable) -> None:
        if not self.up:
            return
        _log.warning("%s is down: %s", self.name, error)
        self._up.clear()
        self._down.set()
        # The process is gone, so waiting requests would have to wait for its successor.
        self.queue.abort(error)

    async def _watch(self) -> None:
        """Notice when the variant goes down, by failures or because its process is gone, and when it is up
        again."""
        while True:
            losing = asyncio.create_task(self._placement.lost())
            failing = asyncio.create_task(self._down.wait())
            try:
                await asyncio.wait((losing, failing), return_when=asyncio.FIRST_COMPLETED)
            finally:
                losing.cancel()
                failing.cancel()
            self._go_down(VariantUnavailable(f"the process of variant {self.name!r} is gone; try again"))
            while not await self.ready():
                await asyncio.sleep(_PROBE_EVERY_S)
            _log.warning("%s is up again", self.name)
            self._down.clear()
            self._up.set()
