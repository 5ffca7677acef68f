"""Sensitivity: which blocks lose most when they become integers, and which of them to leave in float.

Quality is compared with the float graph's on the search split. What a block in float costs is its
multiply-adds, not its measured time: milliseconds differ from run to run, and would make other bytes."""

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

# Each block is one quantization of the whole graph and one pass over the rows.
_MOST_BLOCKS = 24
_MOST_ROWS = 256


Make = Callable[[Collection[Layer]], bytes]


@dataclass(frozen=True, kw_only=True)
class SensitiveLayers:
    """The layers to leave in float, and how that came about."""

    kept: frozenset[Layer]
    note: Note


@dataclass(frozen=True, kw_only=True)
class _Block:
    name: str
    layers: tuple[Layer, ...]
    multiply_adds: int
    # How much of the divergence from the float graph goes away when this block alone stays in float.
    gain: float


def find_sensitive(
    graph: bytes, multiply_adds: Mapping[Layer, int], make: Make, faithful: float, context: Context
) -> SensitiveLayers:
    """The first blocks, by divergence gained per multiply-add, that must stay in float until the answers are
    so `faithful` to the float `graph`'s; `make` gives the graph in which some layers stay in float.

    Raises StepFailed when the answers are not, with all blocks but one in float."""
    rows = _first_rows(context.data.search)
    wanted = graph_answers(graph, rows)

    def answers(blocks: Iterable[_Block]) -> Answers:
        return graph_answers(make([layer for block in blocks for layer in block.layers]), rows)

    full = answers(())
    meaning = read_baseline(context, wanted, rows)
    divergence = distance(context.task, meaning, wanted, full, rows)
    blocks = []
    for name, members in group(multiply_adds, _MOST_BLOCKS).items():
        block = _Block(
            name=name,
            layers=members,
            multiply_adds=sum(multiply_adds[layer] for layer in members),
            gain=0.0,
        )
        left = distance(context.task, meaning, wanted, answers((block,)), rows)
        blocks.append(replace(block, gain=divergence - left))
    blocks.sort(key=lambda block: (-block.gain / block.multiply_adds, block.name))

    @functools.cache
    def reached(count: int) -> float:
        came = full if count == 0 else answers(blocks[:count])
        return likeness(context.task, meaning, wanted, came, rows)

    # Likeness rises with every block, give or take the rows on the edge; the count found was itself measured.
    count = bisect.bisect_left(range(len(blocks)), True, key=lambda count: reached(count) >= faithful)
    if count == len(blocks):
        raise StepFailed(
            f"`faithful: {faithful}` cannot be had: with {len(blocks) - 1} of {len(blocks)} blocks in float "
            f"the answers are {reached(len(blocks) - 1):.4f} like the float graph's (the last in integers: "
            f"{blocks[-1].name}); lower it, or leave the step out"
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


def _first_rows(split: Split) -> Split:
    few = slice(min(len(split), _MOST_ROWS))
    return Split(
        inputs={name: array[few] for name, array in split.inputs.items()},
        labels=None if split.labels is None else split.labels[few],
        lengths=None if split.lengths is None else split.lengths[few],
        row_hashes=split.row_hashes[few],
    )
