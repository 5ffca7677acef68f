"""The thread in which all calls to the database run, one after another."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from serve.base.errors import CounterweightError

T = TypeVar("T")
_log = logging.getLogger("counterweight.keeper")


class StoreThread:
    """One thread, which the database may block; nothing urgent may run in it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._saving: asyncio.Task[None] | None = None

    async def wait(self, call: Callable[..., T], *arguments: Any) -> T:
        """Run the call when it is its turn; returns or raises its result."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    async def save(self, save: Callable[[], None], within_s: float, *, again: bool = False) -> None:
        """Run `save` unless it is already running; with `again`, run it once more afterwards. Returns when it
        is done, or after `within_s`. Failures are logged, because the next try may succeed."""
        if again or self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._save(save))
        await asyncio.wait([self._saving], timeout=within_s)

    async def _save(self, save: Callable[[], None]) -> None:
        try:
            await self.wait(save)
        except CounterweightError as error:
            _log.error("%s", error)
        except Exception:
            _log.exception("the decisions of rollouts could not be written")
