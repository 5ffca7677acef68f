"""Placement: where a variant runs. One seam for both: arrays in, arrays out."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from serve.session import Session
from serve.tensor import Arrays


class Placement(Protocol):
    """The host of one variant, wherever it is."""

    async def run(self, arrays: Arrays) -> dict[str, NDArray[np.generic]]:
        """The model's outputs. Raises ModelFailed or VariantUnavailable."""
        ...

    async def ready(self) -> bool:
        """Whether a run would be answered now."""
        ...


class Together:
    """A session in this process, on a thread of its own so that the event loop stays free."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"onnx-{session.name}")

    async def run(self, arrays: Arrays) -> dict[str, NDArray[np.generic]]:
        """The model's outputs. Raises ModelFailed."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._session.run, arrays)

    async def ready(self) -> bool:
        """Always: a session exists only once it is warm."""
        return True
