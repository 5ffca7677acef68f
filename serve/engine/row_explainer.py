"""Explain one row in a thousand of a shadow's copies by both variants, and compare the explanations.

As in an export (export/proof/explanations.py), a row is run without each of its features. What replaces them
is the mean of the first copies (of integers the median, of tokens the padding), the same for both variants,
so two equal variants agree exactly, and there is no A/A floor to subtract.

This is the first to give way: nothing is explained while any request or copy waits, and runs are no larger
than those of requests."""

import logging
import random
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from serve.base.errors import CounterweightError
from serve.base.tensor import Arrays
from serve.bundles.meaning import Meaning
from serve.counting.comparison import Comparison, Moments
from serve.engine.batch import Outputs
from serve.engine.shadow_copy import Copy
from serve.engine.variant import ServedVariant
from serve.tasks.effects import EXPLAINED, compare_effects, find_effects, settle
from serve.tasks.occlusion import Occlusion, find_middle

_log = logging.getLogger("counterweight.explanations")
# The share of the copied rows that are explained.
SHARE = 1e-3
# The number of copied rows of which the mean replaces a feature.
ENOUGH_ROWS = 64
_MASK = "attention_mask"


class _Busy(Exception):
    """Something waits that goes first."""


class RowExplainer:
    """Explains rows of one shadow in one gateway."""

    def __init__(self, candidate: ServedVariant) -> None:
        # None: nothing is explained, because the export of the baseline did not ask for it.
        self.baseline: ServedVariant | None = None
        self._candidate = candidate
        self._joining = candidate.queue.joining
        self._seen: list[Arrays] = []
        self._occlusion: Occlusion | None = None

    async def explain(
        self, batch: Sequence[Copy], meanings: Mapping[str, Meaning], is_busy: Callable[[], bool]
    ) -> Comparison | None:
        """Explain a row of these copies, if one is drawn and nothing waits.

        Returns how much both explanations have in common; None if nothing was explained."""
        signature = self._joining.signature
        name = signature.outputs[0].name
        meaning, baseline = meanings.get(name), self.baseline
        if baseline is None or not signature.batches or meaning is None or meaning.kind not in EXPLAINED:
            return None
        copies = self._draw(batch)
        if copies is None:
            return None
        try:
            mine = await self._run(baseline, copies, is_busy)
            theirs = await self._run(self._candidate, copies, is_busy)
        except (CounterweightError, _Busy) as error:
            _log.info("a row was not explained: %s", error)
            return None
        expected = mine[name][0]
        before, after = (find_effects(meaning, each[name], expected) for each in (mine, theirs))
        overlap, rank = compare_effects(before, settle(before, after))
        return Comparison(explanation_overlap=_moments(overlap), explanation_rank=_moments(rank))

    def _draw(self, batch: Sequence[Copy]) -> Arrays | None:
        """Return the copies of a row that are to be run; None for most batches, and until it is known what
        replaces a feature."""
        if self._occlusion is None:
            self._seen += [copy.arrays for copy in batch]
            if sum(map(self._joining.rows_of, self._seen)) >= ENOUGH_ROWS:
                self._occlusion = self._read_fills()
                self._seen.clear()
            return None
        rows = sum(copy.rows for copy in batch)
        if random.random() >= SHARE * rows:  # noqa: S311 - sampling, not a secret
            return None
        copy = random.choice(batch)  # noqa: S311 - sampling, not a secret
        place = random.randrange(copy.rows)  # noqa: S311 - sampling, not a secret
        row = {name: array[place : place + 1] for name, array in copy.arrays.items()}
        fills, tokens = self._occlusion.fills, self._occlusion.tokens
        if any(name not in tokens and row[name].shape[1:] != fill.shape for name, fill in fills.items()):
            return None
        return self._occlusion.mask(row)

    def _read_fills(self) -> Occlusion:
        """Return what replaces the features, from the copies so far that have the first one's shape."""
        pads = self._joining.pads
        fills: dict[str, NDArray[np.generic]] = {}
        for spec in self._joining.signature.inputs:
            if spec.name in pads:
                fills |= {} if spec.name == _MASK else {spec.name: np.array(pads[spec.name], spec.dtype)}
                continue
            arrays = [arrays[spec.name] for arrays in self._seen]
            alike = [array for array in arrays if array.shape[1:] == arrays[0].shape[1:]]
            fills[spec.name] = find_middle(np.concatenate(alike))
        return Occlusion(fills=fills, tokens=frozenset(pads.keys() & fills.keys()))

    async def _run(self, variant: ServedVariant, copies: Arrays, is_busy: Callable[[], bool]) -> Outputs:
        """Return the answers to all copies. Raises _Busy if something waits, and the errors of a run."""
        parts: list[Outputs] = []
        size = self._joining.full_rows
        for start in range(0, len(next(iter(copies.values()))), size):
            if is_busy() or variant.queue.waiting_rows:
                raise _Busy("requests or copies are waiting")
            part = {name: array[start : start + size] for name, array in copies.items()}
            parts.append(await variant.run_aside(part))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _moments(value: float) -> Moments:
    return Moments(count=1, total=value, squares=value**2)
