"""A copy of a request for a shadow."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from serve.base.tensor import Arrays
from serve.bundles.meaning import Meaning, Task
from serve.counting.shadow_results import ShadowResults
from serve.engine.batch import Outputs
from serve.engine.top_class import top_class


@dataclass(frozen=True, slots=True)
class Copy:
    """One request with the baseline's answer."""

    arrays: Arrays
    outputs: Outputs
    rows: int
    request_id: str
    slice: str | None

    def part(self, rows: int) -> "Copy":
        """A random sample of its rows, in their order, for a model whose inputs have rows."""
        drawn = sorted(random.sample(range(self.rows), rows))
        arrays = {name: array[drawn] for name, array in self.arrays.items()}
        outputs = {name: array[drawn] for name, array in self.outputs.items()}
        return replace(self, arrays=arrays, outputs=outputs, rows=rows)


def match_classes(
    copies: ShadowResults, copy: Copy, answer: Outputs, task: Task, meanings: Mapping[str, Meaning]
) -> None:
    """Add the top classes of both answers to `copies`, if both have one, for labels that may come later."""
    baseline, candidate = (top_class(outputs, task, meanings) for outputs in (copy.outputs, answer))
    if copy.request_id and baseline is not None and candidate is not None:
        copies.matched[copy.request_id] = baseline[0], candidate[0]
        copies.classes = max(copies.classes, baseline[1])
