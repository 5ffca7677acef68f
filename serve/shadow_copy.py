"""Copy: one request as a shadow gets it."""

import random
from dataclasses import dataclass, replace

from serve.joining import Outputs
from serve.tensor import Arrays


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
