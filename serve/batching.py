"""Batching: one queue per variant. What arrives while a run is under way goes together in the next one."""

import asyncio
import contextvars
from collections import deque
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from serve.errors import ModelFailed, VariantUnavailable
from serve.placement import Placement
from serve.tensor import Arrays, Signature

Outputs = dict[str, NDArray[np.generic]]
Shapes = tuple[tuple[int, ...], ...]


class _Waiting:
    """One request in the queue."""

    __slots__ = ("answer", "arrays", "rows", "shapes")

    def __init__(self, arrays: Arrays, signature: Signature, answer: asyncio.Future[Outputs]) -> None:
        self.arrays = arrays
        self.answer = answer
        first = arrays[signature.inputs[0].name]
        self.rows = len(first) if signature.batches else 1
        # Only requests that agree in every other dimension can share a run.
        self.shapes: Shapes = tuple(arrays[spec.name].shape[1:] for spec in signature.inputs)


class Queue:
    """The queue of one variant: it runs at once when idle, and in batches under load."""

    def __init__(self, placement: Placement, signature: Signature, max_rows: int) -> None:
        self._placement = placement
        self._signature = signature
        self._max_rows = max_rows
        self._waiting: deque[_Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def infer(self, arrays: Arrays) -> Outputs:
        """The model's answer to these arrays alone. Raises what the placement raises."""
        answer: asyncio.Future[Outputs] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(arrays, self._signature, answer))
        if self._worker is None:
            # In a context of its own: a request that is cancelled must not take along the run of others,
            # as it would where the host ties calls to the request that made them.
            self._worker = asyncio.create_task(self._work(), context=contextvars.Context())
        return await answer

    async def _work(self) -> None:
        try:
            while self._waiting:
                if batch := self._take():
                    await self._run(batch)
        finally:
            self._worker = None

    async def _run(self, batch: list[_Waiting]) -> None:
        try:
            outputs = await self._placement.run(self._join(batch))
        except Exception as error:  # everyone in the batch hears of it; the queue goes on
            _fail(batch, error)
        except asyncio.CancelledError:
            _fail(batch, VariantUnavailable("the run was cancelled: the server is stopping"))
            raise
        else:
            _answer(batch, outputs)

    def _take(self) -> list[_Waiting]:
        """The oldest request and those right behind it that fit into the same run."""
        batch: list[_Waiting] = []
        rows = 0
        while self._waiting:
            member = self._waiting[0]
            fits = self._signature.batches and rows + member.rows <= self._max_rows
            if batch and not (fits and member.shapes == batch[0].shapes):
                break
            self._waiting.popleft()
            if not member.answer.cancelled():
                batch.append(member)
                rows += member.rows
        return batch

    def _join(self, batch: list[_Waiting]) -> Arrays:
        if len(batch) == 1:
            return batch[0].arrays
        names = [spec.name for spec in self._signature.inputs]
        return {name: np.concatenate([member.arrays[name] for member in batch]) for name in names}


def _fail(batch: list[_Waiting], error: Exception) -> None:
    for member in batch:
        if not member.answer.done():
            member.answer.set_exception(error)


def _answer(batch: list[_Waiting], outputs: Outputs) -> None:
    if len(batch) == 1:
        shares = [outputs]
    else:
        ends = list(accumulate(member.rows for member in batch))
        if strange := {name for name, rows in outputs.items() if len(rows) != ends[-1]}:
            # Whose row is whose cannot be told any more.
            _fail(
                batch, ModelFailed(f"{', '.join(sorted(strange))}: not one row of output for each of input")
            )
            return
        starts = [0, *ends[:-1]]
        shares = [
            {name: rows[start:end] for name, rows in outputs.items()}
            for start, end in zip(starts, ends, strict=True)
        ]
    for member, share in zip(batch, shares, strict=True):
        if not member.answer.done():
            member.answer.set_result(share)
