"""StoreThread: where everything waits for the database, one after the other."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from serve.base.errors import CounterweightError

T = TypeVar("T")
_log = logging.getLogger("counterweight.keeper")


class StoreThread:
    """One thread, which the database may hold up: whoever must not wait does nothing here."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._saving: asyncio.Task[None] | None = None

    async def wait(self, call: Callable[..., T], *arguments: Any) -> T:
        """What the call returns or raises, when it is its turn."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    async def save(self, save: Callable[[], None], within_s: float, *, again: bool = False) -> None:
        """Let `save` run, unless it still does; `again`: and once more then. Returns when it is done, or when
        it takes longer than `within_s`. What fails is logged: the next try may find the store again."""
        if again or self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._save(save))
        await asyncio.wait([self._saving], timeout=within_s)

    async def _save(self, save: Callable[[], None]) -> None:
        try:
            await self.wait(save)
        except CounterweightError as error:
            _log.error("%s", error)
        except Exception:
            _log.exception("what was decided of the rollouts could not be written")
