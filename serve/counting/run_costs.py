"""The CPU cost of one variant's runs, by size of run and by blocks of time."""

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from serve.counting.sums import Sum, Sums, Total

# Size of run (see `size_of`) -> number of runs, total CPU milliseconds, and the sums of the logarithms of
# the single times and of their squares.
Sizes = dict[int, tuple[int, float, float, float]]
# Number of runs, CPU microseconds, and the sums of the logarithms and of their squares in millionths. All are
# integers, so that the result does not depend on the order of addition.
Cell = tuple[Sum, Sum, int, Sum]
NOTHING: Cell = (0, 0, 0, 0)

# Runs of up to this many rows are compared only with runs of equal size; larger ones with similar sizes.
_EXACT_ROWS = 16
# With more blocks than this, each two neighbours become one.
_MOST_BLOCKS = 32
# Shorter runs count as this long, because the logarithm of 0 is undefined.
_LEAST_MS = 1e-3
_NO_RUNS = (0, 0.0, 0.0, 0.0)
_MILLION = 1e6
_OLD_FIELDS = ("rows_squares", "cpu_ms_squares", "products")


def size_of(rows: int) -> int:
    """The size class of a run of `rows` rows, as the smallest number of rows in it: `rows` itself up to 16,
    and at most an eighth less above."""
    step = max(1, (1 << rows.bit_length()) // _EXACT_ROWS)
    return rows // step * step


def add_run(sizes: Sizes, rows: int, cpu_ms: float) -> None:
    """Count one run."""
    size = size_of(rows)
    runs, total_ms, logs, squares = sizes.get(size, _NO_RUNS)
    log = math.log(max(cpu_ms, _LEAST_MS))
    sizes[size] = runs + 1, total_ms + cpu_ms, logs + log, squares + log**2


def add_sizes(parts: Iterable[Sizes]) -> Sizes:
    """Add sizes."""
    total: Sizes = {}
    for part in parts:
        for size, (runs, cpu_ms, logs, squares) in part.items():
            old = total.get(size, _NO_RUNS)
            total[size] = old[0] + runs, old[1] + cpu_ms, old[2] + logs, old[3] + squares
    return total


def subtract_sizes(now: Sizes, before: Sizes) -> Sizes:
    """The runs between two readings."""
    return {
        size: (runs - old[0], max(cpu_ms - old[1], 0.0), logs - old[2], max(squares - old[3], 0.0))
        for size, (runs, cpu_ms, logs, squares) in now.items()
        if runs > (old := before.get(size, _NO_RUNS))[0]
    }


class Cost(Sums):
    """The CPU cost of one variant's runs.

    Cells are kept by block of time and by size of run. There are at most 32 blocks. As time passes, blocks
    double in length, so that the variance between blocks includes noise that lasts."""

    # Ticks in which the variant ran.
    blocks: Sum = 0
    rows: Sum = 0
    cpu_ms: Total = 0.0
    # Ticks without a time; each is placed directly after the previous one.
    ticks: Sum = 0
    # The length of a block, a power of 2.
    block_s: Annotated[int, Field(ge=1)] = 1
    # Index of the block -> size of run -> cell.
    cells: Mapping[int, Mapping[int, Cell]] = {}

    @model_validator(mode="before")
    @classmethod
    def _drop_old_fields(cls, data: Any) -> Any:
        # An older version stored sums of squares over ticks, without the sizes of runs.
        if isinstance(data, Mapping) and any(name in data for name in _OLD_FIELDS):
            return {name: value for name, value in data.items() if name not in _OLD_FIELDS}
        return data

    @classmethod
    def tick(cls, rows: int, cpu_ms: float, sizes: Sizes | None = None, at_s: float | None = None) -> "Cost":
        """The runs of one tick that ended at `at_s`. Without `sizes`, they count as one run."""
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
    """The cells in blocks of `block_s`, a power of 2 that is at least the present block length."""
    return _join({}, cost, block_s, 0)


def _join(
    cells: dict[int, dict[int, Cell]], cost: Cost, block_s: int, later_s: int
) -> dict[int, dict[int, Cell]]:
    """Add the cells of `cost`, shifted by `later_s`, to `cells`."""
    for number, block in cost.cells.items():
        into = cells.setdefault((number * cost.block_s + later_s) // block_s, {})
        for size, cell in block.items():
            into[size] = _add(into.get(size, NOTHING), cell)
    return cells


def _halve(cells: dict[int, dict[int, Cell]]) -> dict[int, dict[int, Cell]]:
    """Merge each two neighbouring blocks."""
    halved: dict[int, dict[int, Cell]] = {}
    for number, block in cells.items():
        into = halved.setdefault(number // 2, {})
        for size, cell in block.items():
            into[size] = _add(into.get(size, NOTHING), cell)
    return halved


def _add(one: Cell, other: Cell) -> Cell:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]
