"""Copy: one request as a shadow gets it."""

import random
from dataclasses import dataclass, replace

from serve.base.tensor import Arrays
from serve.counting.copies import Copies
from serve.engine.batch import Outputs
from serve.engine.top_class import sound_class


@dataclass(frozen=True, slots=True)
class Copy:
    """One request, and what the baseline answered to it."""

    arrays: Arrays
    outputs: Outputs
    rows: int
    request_id: str
    slice: str | None

    def part(self, rows: int) -> "Copy":
        """So many of its rows, drawn at random, in their order; of a model that takes rows."""
        drawn = sorted(random.sample(range(self.rows), rows))
        arrays = {name: array[drawn] for name, array in self.arrays.items()}
        outputs = {name: array[drawn] for name, array in self.outputs.items()}
        return replace(self, arrays=arrays, outputs=outputs, rows=rows)


def match_classes(copies: Copies, copy: Copy, answer: Outputs) -> None:
    """Add to `copies` the classes on top of both answers, where each says one: a label may come for them."""
    baseline, candidate = sound_class(copy.outputs), sound_class(answer)
    if copy.request_id and baseline is not None and candidate is not None:
        copies.matched[copy.request_id] = baseline[0], candidate[0]
        copies.classes = max(copies.classes, baseline[1])
