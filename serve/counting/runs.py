"""Runs: what one variant's runs cost, by the size of a run and by the time, in blocks that grow."""

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from serve.counting.sums import Sum, Sums, Total

# Size of a run, see `size_of` -> how many, the milliseconds of CPU time of all, and the sums of the logs of
# each one's and of their squares.
Sizes = dict[int, tuple[int, float, float, float]]
# How many runs, their microseconds of CPU time, and the sums of the logs and of their squares in millionths:
# whole numbers, so that the order in which they are added means nothing.
Cell = tuple[Sum, Sum, int, Sum]
NOTHING: Cell = (0, 0, 0, 0)

# Runs of up to so many rows are compared with those of just as many; larger ones with nearly as large ones.
_EXACT_ROWS = 16
# When there are more, two become one.
_MOST_BLOCKS = 32
# A run that took less is taken to have taken so much: a log wants more than nothing.
_LEAST_MS = 1e-3
_NO_RUNS = (0, 0.0, 0.0, 0.0)
_MILLION = 1e6
_OLD_FIELDS = ("rows_squares", "cpu_ms_squares", "products")


def size_of(rows: int) -> int:
    """The least rows of the runs that one of `rows` rows is compared with: `rows` itself up to 16, and above
    that at most an eighth less."""
    step = max(1, (1 << rows.bit_length()) // _EXACT_ROWS)
    return rows // step * step


def add_run(sizes: Sizes, rows: int, cpu_ms: float) -> None:
    """Count one run more."""
    size = size_of(rows)
    runs, total_ms, logs, squares = sizes.get(size, _NO_RUNS)
    log = math.log(max(cpu_ms, _LEAST_MS))
    sizes[size] = runs + 1, total_ms + cpu_ms, logs + log, squares + log**2


def add_sizes(parts: Iterable[Sizes]) -> Sizes:
    """What all of them come to."""
    total: Sizes = {}
    for part in parts:
        for size, (runs, cpu_ms, logs, squares) in part.items():
            old = total.get(size, _NO_RUNS)
            total[size] = old[0] + runs, old[1] + cpu_ms, old[2] + logs, old[3] + squares
    return total


def subtract_sizes(now: Sizes, before: Sizes) -> Sizes:
    """What came in between."""
    return {
        size: (runs - old[0], max(cpu_ms - old[1], 0.0), logs - old[2], max(squares - old[3], 0.0))
        for size, (runs, cpu_ms, logs, squares) in now.items()
        if runs > (old := before.get(size, _NO_RUNS))[0]
    }


class Cost(Sums):
    """What one variant's runs cost in CPU time.

    The cells are apart by block of time and by size of run. There are at most 32 blocks: where time goes on,
    each becomes twice as long, so that noise which lasts is seen as what it is."""

    # Ticks in which it ran.
    blocks: Sum = 0
    rows: Sum = 0
    cpu_ms: Total = 0.0
    # Ticks that did not say when they were: each comes right after the one before.
    ticks: Sum = 0
    # How long a block is, a power of 2.
    block_s: Annotated[int, Field(ge=1)] = 1
    # Number of the block -> size of the runs -> what they came to.
    cells: Mapping[int, Mapping[int, Cell]] = {}

    @model_validator(mode="before")
    @classmethod
    def _drop_old_fields(cls, data: Any) -> Any:
        # An older version stored sums of squares over ticks, which knew nothing of the runs' sizes.
        if isinstance(data, Mapping) and any(name in data for name in _OLD_FIELDS):
            return {name: value for name, value in data.items() if name not in _OLD_FIELDS}
        return data

    @classmethod
    def tick(cls, rows: int, cpu_ms: float, sizes: Sizes | None = None, at_s: float | None = None) -> "Cost":
        """What ran in one tick that ended at `at_s`. Without `sizes` it was one run."""
        if not rows:
            return cls(ticks=int(at_s is None))
        if not sizes:
            add_run(sizes := {}, rows, cpu_ms)
        cells = {
            size: (runs, round(ms * 1e3), round(logs * _MILLION), round(squares * _MILLION))
            for size, (runs, ms, logs, squares) in sorted(sizes.items())
        }
        return cls(
            blocks=1,
            rows=rows,
            cpu_ms=cpu_ms,
            ticks=int(at_s is None),
            cells={0 if at_s is None else math.floor(at_s): cells},
        )

    def __add__(self, other: Self) -> Self:
        block_s = max(self.block_s, other.block_s)
        cells = _join(_join({}, self, block_s, 0), other, block_s, self.ticks)
        while len(cells) > _MOST_BLOCKS:
            block_s *= 2
            cells = _halve(cells)
        return type(self)(
            blocks=self.blocks + other.blocks,
            rows=self.rows + other.rows,
            cpu_ms=self.cpu_ms + other.cpu_ms,
            ticks=self.ticks + other.ticks,
            block_s=block_s,
            cells={number: dict(sorted(cells[number].items())) for number in sorted(cells)},
        )


def coarsen(cost: Cost, block_s: int) -> dict[int, dict[int, Cell]]:
    """Its cells in blocks of `block_s`, a power of 2 that is no less than its own."""
    return _join({}, cost, block_s, 0)


def _join(
    cells: dict[int, dict[int, Cell]], cost: Cost, block_s: int, later_s: int
) -> dict[int, dict[int, Cell]]:
    """`cells` with those of `cost`, `later_s` later."""
    for number, block in cost.cells.items():
        into = cells.setdefault((number * cost.block_s + later_s) // block_s, {})
        for size, cell in block.items():
            into[size] = _add(into.get(size, NOTHING), cell)
    return cells


def _halve(cells: dict[int, dict[int, Cell]]) -> dict[int, dict[int, Cell]]:
    """Two neighbours become one block."""
    halved: dict[int, dict[int, Cell]] = {}
    for number, block in cells.items():
        into = halved.setdefault(number // 2, {})
        for size, cell in block.items():
            into[size] = _add(into.get(size, NOTHING), cell)
    return halved


def _add(one: Cell, other: Cell) -> Cell:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]
