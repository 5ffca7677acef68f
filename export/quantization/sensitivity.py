"""Finds the blocks whose quantization loses most quality, and which of them to keep in float.

Quality is measured against the float graph on the search split. The cost of a block in float is its
multiply-adds, not its measured time, since times differ from run to run and would give different bytes."""

import bisect
import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from export.artifacts import Context, Note
from export.errors import StepFailed
from export.quantization.layers import Layer, group
from export.training.answers import Answers, graph_answers
from export.training.scores import distance, likeness, read_baseline
from serve.bundles.onnx_graph import Graph

# Each block needs one quantization of the graph and one pass over the rows. The rows are as many as these
# multiply-adds allow, some minutes on one core; a number that does not depend on how busy the machine is.
_MOST_BLOCKS = 24
_MOST_MULTIPLY_ADDS = 1e13
_MOST_ROWS, _FEWEST_ROWS = 256, 32


Make = Callable[[Collection[Layer]], Graph]


@dataclass(frozen=True, kw_only=True)
class SensitiveLayers:
    """The layers to keep in float, and how they were chosen."""

    kept: frozenset[Layer]
    note: Note


@dataclass(frozen=True, kw_only=True)
class _Block:
    name: str
    layers: tuple[Layer, ...]
    multiply_adds: int
    # How much the divergence from the float graph falls if only this block stays in float.
    gain: float


def find_sensitive(
    graph: Graph, multiply_adds: Mapping[Layer, int], make: Make, faithful: float, context: Context
) -> SensitiveLayers:
    """Return the blocks that must stay in float to reach the agreement `faithful`, by divergence gained per
    multiply-add.

    Args:
        graph: the float graph
        multiply_adds: multiply-adds of each layer
        make: returns the quantized graph in which these layers stay in float
        faithful: minimum agreement with the float graph on the search split, 0 to 1
        context: the data and settings of the step

    Returns:
        The layers to keep. Raises StepFailed if the agreement is not reached with all blocks but one in
        float.
    """
    trial = _SensitivityTrial(graph, sum(multiply_adds.values()), make, context)
    blocks = _rank(multiply_adds, trial)
    # The agreement rises with every block, except for rows on the edge; the resulting count was measured
    # itself.
    count = bisect.bisect_left(
        range(len(blocks)), True, key=lambda count: trial.agree(blocks[:count]) >= faithful
    )
    if count == len(blocks):
        raise StepFailed(
            f"`faithful: {faithful}` cannot be reached: with {len(blocks) - 1} of {len(blocks)} blocks in "
            f"float, the agreement with the float graph is {trial.agree(blocks[:-1]):.4f} (the last "
            f"quantized block: {blocks[-1].name}); lower `faithful`, or remove the step"
        )
    kept = blocks[:count]
    return SensitiveLayers(
        kept=frozenset(layer for block in kept for layer in block.layers),
        note={
            "sensitivity": [
                {"block": block.name, "divergence": block.gain, "multiply_adds": block.multiply_adds}
                for block in blocks
            ],
            "divergence": trial.divergence,
            "likeness": trial.agree(kept),
            "search_rows": len(trial.rows),
        },
    )


class _SensitivityTrial:
    """Runs the graph with some blocks in float on rows of the search split."""

    def __init__(self, graph: Graph, multiply_adds: int, make: Make, context: Context) -> None:
        self.say = context.say
        self._make = make
        self._context = context
        affordable = _MOST_MULTIPLY_ADDS / _MOST_BLOCKS / max(1, multiply_adds)
        self.rows = context.data.search.first(int(np.clip(affordable, _FEWEST_ROWS, _MOST_ROWS)))
        self._expected = graph_answers(graph, self.rows)
        self._meaning = read_baseline(context, self._expected, self.rows)
        self.agree = functools.cache(self._agree)
        # From the float graph, if nothing stays in float.
        self.divergence = self._measure_divergence(self._answer(()))

    def measure_gain(self, block: _Block) -> float:
        """Return how much the divergence falls if only this block stays in float."""
        return self.divergence - self._measure_divergence(self._answer((block,)))

    def _agree(self, blocks: tuple[_Block, ...]) -> float:
        """Return the agreement with the float graph if these blocks stay in float."""
        return likeness(self._context.task, self._meaning, self._expected, self._answer(blocks), self.rows)

    def _answer(self, blocks: tuple[_Block, ...]) -> Answers:
        made = self._make([layer for block in blocks for layer in block.layers])
        return graph_answers(made, self.rows)

    def _measure_divergence(self, actual: Answers) -> float:
        return distance(self._context.task, self._meaning, self._expected, actual, self.rows)


def _rank(multiply_adds: Mapping[Layer, int], trial: _SensitivityTrial) -> tuple[_Block, ...]:
    """Return the blocks of these layers, sorted by gain per multiply-add, the largest first."""
    groups = group(multiply_adds, _MOST_BLOCKS)
    blocks = []
    for number, (name, layers) in enumerate(groups.items(), 1):
        trial.say(f"sensitivity of block {number} of {len(groups)}")
        cost = sum(multiply_adds[layer] for layer in layers)
        block = _Block(name=name, layers=layers, multiply_adds=cost, gain=0.0)
        blocks.append(replace(block, gain=trial.measure_gain(block)))
    return tuple(sorted(blocks, key=lambda block: (-block.gain / block.multiply_adds, block.name)))
