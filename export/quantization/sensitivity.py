"""Finds the blocks whose quantization loses most quality, and which of them to keep in float.

Quality is measured against the float graph on the search split. The cost of a block in float is its
multiply-adds, not its measured time, since times differ from run to run and would give different bytes."""

import bisect
import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from export.artifacts import Context, Note
from export.data.datasets import Split
from export.errors import StepFailed
from export.quantization.layers import Layer, group
from export.training.answers import Answers, graph_answers
from export.training.scores import distance, likeness, read_baseline
from serve.bundles.onnx_graph import Graph

# Each block needs one quantization of the graph and one pass over the rows.
_MOST_BLOCKS = 24
_MOST_ROWS = 256


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
    rows = _first_rows(context.data.search)
    expected = graph_answers(graph, rows)

    def answers(blocks: Iterable[_Block]) -> Answers:
        return graph_answers(make([layer for block in blocks for layer in block.layers]), rows)

    full = answers(())
    meaning = read_baseline(context, expected, rows)
    divergence = distance(context.task, meaning, expected, full, rows)

    def gain(block: _Block) -> float:
        return divergence - distance(context.task, meaning, expected, answers((block,)), rows)

    blocks = _rank(multiply_adds, gain)

    @functools.cache
    def reached(count: int) -> float:
        actual = full if count == 0 else answers(blocks[:count])
        return likeness(context.task, meaning, expected, actual, rows)

    # The agreement rises with every block, except for rows on the edge; the resulting count was measured
    # itself.
    count = bisect.bisect_left(range(len(blocks)), True, key=lambda count: reached(count) >= faithful)
    if count == len(blocks):
        raise StepFailed(
            f"`faithful: {faithful}` cannot be reached: with {len(blocks) - 1} of {len(blocks)} blocks in "
            f"float, the agreement with the float graph is {reached(len(blocks) - 1):.4f} (the last "
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
            "divergence": divergence,
            "likeness": reached(count),
            "search_rows": len(rows),
        },
    )


def _rank(multiply_adds: Mapping[Layer, int], gain: Callable[[_Block], float]) -> list[_Block]:
    """Return the blocks of these layers, sorted by gain per multiply-add, the largest first."""
    blocks = [
        _Block(
            name=name,
            layers=members,
            multiply_adds=sum(multiply_adds[layer] for layer in members),
            gain=0.0,
        )
        for name, members in group(multiply_adds, _MOST_BLOCKS).items()
    ]
    measured = [replace(block, gain=gain(block)) for block in blocks]
    return sorted(measured, key=lambda block: (-block.gain / block.multiply_adds, block.name))


def _first_rows(split: Split) -> Split:
    few = slice(min(len(split), _MOST_ROWS))
    return Split(
        inputs={name: array[few] for name, array in split.inputs.items()},
        labels=None if split.labels is None else split.labels[few],
        lengths=None if split.lengths is None else split.lengths[few],
        row_hashes=split.row_hashes[few],
    )
