"""Send copies of requests to a shadow variant and compare its answers.

A copy is offered after the baseline's answer is on its way. It waits in a separate short queue and is dropped
if it does not fit. A failure of a copy cannot affect a request."""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np

from serve.base.errors import ONE_REQUESTS, CounterweightError, VariantUnavailable
from serve.base.settings import Settings
from serve.bundles.meaning import Meaning, Task
from serve.counting.comparison import Comparison
from serve.counting.count_delta import Disagreement
from serve.counting.rollout_counter import RolloutCounter
from serve.counting.shadow_results import Drop, ShadowResults, add_copies
from serve.engine.batch import Outputs
from serve.engine.pairing import Paired, pair, require_whole
from serve.engine.row_explainer import RowExplainer
from serve.engine.shadow_copy import Copy, match_classes
from serve.engine.variant import ServedVariant
from serve.tasks.compare_outputs import worst
from serve.tasks.describe_answer import describe

_log = logging.getLogger("counterweight.shadow")
# Nobody waits for copies, so collecting more of them per run saves CPU time.
_LINGER_S = 0.05
# Copies are dropped while this many batches of live requests are waiting.
_BACKLOG = 2
# The number of differing pairs per batch that are kept as examples.
_SHOWN = 3


class Shadow:
    """The copies for one variant in one gateway."""

    def __init__(self, variant: ServedVariant, task: Task, settings: Settings) -> None:
        self.variant = variant
        # The share of the offered requests that are copied, 0 to 1.
        self.share = 1.0
        # Where the copies count; None: no rollout uses this shadow.
        self.counter: RolloutCounter | None = None
        # Output name -> its meaning, if known.
        self.meanings: Mapping[str, Meaning] = {}
        # Their names; empty: they have none.
        self.classes: Sequence[str] = ()
        self.explainer = RowExplainer(variant)
        self._task = task
        self._joining = variant.queue.joining
        self._settings = settings
        self._waiting: deque[Copy] = deque()
        self._rows = 0
        self._filled = asyncio.Event()
        self._working = asyncio.create_task(self._work())

    def offer(self, copy: Copy, backlog_rows: int) -> None:
        """Accept or drop a copy; `backlog_rows` is the number of rows of live requests that wait for a
        run."""
        if self.share < 1 and random.random() >= self.share:  # noqa: S311 - sampling, not a secret
            return
        most = self._settings.max_shadow_rows
        free = most - self._rows
        # A request that is larger than the queue is compared in part, if enough of it fits.
        accepted = copy.rows if copy.rows <= most or free < most / 4 else free
        if not self.variant.up:
            self._drop(copy.rows, Drop.DOWN)
        elif backlog_rows >= _BACKLOG * self._joining.full_rows:
            self._drop(copy.rows, Drop.BUSY)
        elif accepted > free:
            self._drop(copy.rows, Drop.FULL)
        else:
            self._waiting.append(copy if accepted == copy.rows else copy.part(accepted))
            self._rows += accepted
            self._filled.set()

    def close(self) -> None:
        """Drop the waiting copies."""
        self._working.cancel()

    async def _work(self) -> None:
        while True:
            await self._filled.wait()
            await asyncio.sleep(_LINGER_S)
            while batch := self._take():
                try:
                    await self._run(batch)
                except Exception:  # the shadow must survive any fault of one copy
                    _log.exception("a copy for %s was lost", self.variant.name)
                    self._drop(sum(copy.rows for copy in batch), Drop.FAULT)
            self._filled.clear()

    def _take(self) -> list[Copy]:
        batch: list[Copy] = []
        rows = 0
        while self._waiting:
            copy = self._waiting[0]
            if batch and not (
                self._joining.signature.batches
                and rows + copy.rows <= self._joining.full_rows
                and self._joining.key_of(copy.arrays) == self._joining.key_of(batch[0].arrays)
            ):
                break
            batch.append(self._waiting.popleft())
            rows += copy.rows
            self._rows -= copy.rows
        return batch

    async def _run(self, batch: list[Copy]) -> None:
        requests = [copy.arrays for copy in batch]
        try:
            outputs = await self.variant.run_aside(self._joining.join(requests))
            shares = self._joining.split(requests, outputs)
            require_whole(batch, shares)
        except ONE_REQUESTS as error:
            # The baseline has answered, so the input is valid.
            if len(batch) > 1:
                # The batch does not show whose input failed.
                for copy in batch:
                    await self._run([copy])
                return
            self._fail(batch, error)
        except VariantUnavailable as error:
            self._fail(batch, error)
        else:
            for copies, answers in self._groups(batch, shares):
                self._compare(copies, answers)
            if explained := await self.explainer.explain(batch, self.meanings, lambda: self._rows > 0):
                self._tell(ShadowResults(pairs=explained))

    def _groups(
        self, batch: Sequence[Copy], shares: Sequence[Outputs]
    ) -> Sequence[tuple[Sequence[Copy], Sequence[Outputs]]]:
        """The parts that can be compared at once: everything, unless the outputs have different lengths."""
        if self._joining.pads:
            return [([copy], [share]) for copy, share in zip(batch, shares, strict=True)]
        return [(batch, shares)]

    def _compare(self, batch: Sequence[Copy], answers: Sequence[Outputs]) -> None:
        mine, theirs, outputs, meanings = self._pair(batch, answers)
        whole = worst(list(outputs.values()))
        sizes = [copy.rows for copy in batch]
        copies = ShadowResults(
            pairs=whole.sums(sizes), outputs={name: part.sums(sizes) for name, part in outputs.items()}
        )
        if self.counter is not None and self.counter.watch.feedback:
            for copy, answer in zip(batch, answers, strict=True):
                match_classes(copies, copy, answer, self._task, self.meanings)
        shown: list[Disagreement] = []
        start = 0
        for copy in batch:
            rows = slice(start, start + copy.rows)
            start += copy.rows
            if copy.slice is not None:
                add_copies(copies, ShadowResults(slices={copy.slice: whole.part(rows).sums([copy.rows])}))
            if len(shown) < _SHOWN:
                for name, differences in outputs.items():
                    # Names are of the first output's classes.
                    named = self.classes if name == self._joining.signature.outputs[0].name else ()
                    for row in np.flatnonzero(differences.differing[rows])[:1] + rows.start:
                        cosine = None if differences.cosine is None else float(differences.cosine[row])
                        places = differences.places(row)
                        words = [
                            describe(meanings[name], array[name][row], against, named, places)
                            for array, against in ((mine, None if cosine is None else 1.0), (theirs, cosine))
                        ]
                        shown.append(self._show(copy, name, *words))
        self._tell(copies, shown)

    def _pair(self, batch: Sequence[Copy], answers: Sequence[Outputs]) -> Paired:
        return pair(batch, answers, self._joining.signature, self._task, self.meanings)

    def _fail(self, batch: Sequence[Copy], error: CounterweightError) -> None:
        """Count these copies as failed by the shadow and answered by the baseline."""
        words = f"{type(error).__name__}: {error}"[:200]
        for copy in batch:
            # The same number of pairs as if the shadow had answered.
            compared = self._pair([copy], [copy.outputs]).outputs
            pairs = int(worst(list(compared.values())).pairs.sum())
            sums = Comparison.failed(pairs)
            slices = {} if copy.slice is None else {copy.slice: sums}
            copies = ShadowResults(pairs=sums, outputs=dict.fromkeys(compared, sums), slices=slices)
            self._tell(copies, [self._show(copy, ", ".join(copy.outputs), "answered", words)])

    def _show(self, copy: Copy, output: str, baseline: str, candidate: str) -> Disagreement:
        return Disagreement(
            at_s=time.time(),
            request_id=copy.request_id,
            slice=copy.slice,
            output=output,
            baseline=baseline,
            candidate=candidate,
        )

    def _drop(self, rows: int, why: Drop) -> None:
        self._tell(ShadowResults(dropped=rows, drops={why: rows}))

    def _tell(self, copies: ShadowResults, shown: Sequence[Disagreement] = ()) -> None:
        self.variant.queue.tally.count_copies(copies.pairs, copies.dropped)
        if self.counter is not None:
            add_copies(self.counter.copies, copies)
            self.counter.disagreements.extend(shown)


class Shadows:
    """All shadows of one model, by variant."""

    def __init__(self, task: Task, settings: Settings) -> None:
        # Output name -> its meaning, from the bundle of the present baseline.
        self.meanings: Mapping[str, Meaning] = {}
        # The names of its classes.
        self.classes: Sequence[str] = ()
        # The present baseline, if the explanations of shadows are compared with its own.
        self.explaining: ServedVariant | None = None
        self._task = task
        self._settings = settings
        self._shadows: dict[str, Shadow] = {}

    def __len__(self) -> int:
        return len(self._shadows)

    def assign(
        self, shares: Mapping[str, float], served: Mapping[str, ServedVariant], counter: RolloutCounter | None
    ) -> None:
        """Set the variants that get copies, with their shares; variants that are not served are skipped."""
        for name, shadow in list(self._shadows.items()):
            if name not in shares or served.get(name) is not shadow.variant:
                self._shadows.pop(name).close()
        for name, share in shares.items():
            if name not in served:
                continue
            if name not in self._shadows:
                self._shadows[name] = Shadow(served[name], self._task, self._settings)
            watched = counter is not None and counter.watch.candidate == name
            self._shadows[name].explainer.baseline = self.explaining
            self._shadows[name].meanings = self.meanings
            self._shadows[name].classes = self.classes
            self._shadows[name].share = share
            self._shadows[name].counter = counter if watched else None

    def offer(self, copy: Copy, backlog_rows: int) -> None:
        """Offer a copy to every shadow."""
        for shadow in self._shadows.values():
            shadow.offer(copy, backlog_rows)
