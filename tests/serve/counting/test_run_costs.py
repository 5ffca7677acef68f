"""The cost of runs by size and by block of time."""

import math
from functools import reduce
from operator import add

from hypothesis import given
from hypothesis import strategies as st

from serve.counting.run_costs import Cost, Sizes, add_run, add_sizes, coarsen, size_of, subtract_sizes

timed = st.builds(
    lambda rows, ms, at_s: Cost.tick(rows, ms, at_s=float(at_s)),
    st.integers(0, 20),
    st.integers(1, 1000),
    st.integers(0, 5000),
)


def test_runs_of_up_to_16_rows_are_apart() -> None:
    """Sizes up to 16 rows are separate, and larger ones share a class within an eighth."""
    assert [size_of(rows) for rows in range(1, 17)] == [*range(1, 17)]
    assert all(rows / size_of(rows) < 9 / 8 for rows in range(1, 2000))


def test_there_are_few_sizes() -> None:
    """512 batch sizes fall into 56 size classes."""
    assert len({size_of(rows) for rows in range(1, 513)}) == 56


def test_runs_add_up_by_size() -> None:
    """Runs of one size add up: their number, their time and the sums of their logarithms."""
    one: Sizes = {}
    add_run(one, 2, math.e)
    add_run(one, 2, math.e**3)
    other: Sizes = {}
    add_run(other, 5, 1.0)
    assert add_sizes([one, other]) == {2: (2, math.e + math.e**3, 4.0, 10.0), 5: (1, 1.0, 0.0, 0.0)}


def test_what_came_in_between_is_the_difference() -> None:
    """Subtracting earlier sums leaves the runs since then, without sizes that had none."""
    before: Sizes = {1: (1, 1.0, 0.5, 0.25), 2: (1, 2.0, 0.5, 0.25)}
    assert subtract_sizes(before | {1: (3, 3.0, 1.0, 0.5)}, before) == {1: (2, 2.0, 0.5, 0.25)}


def test_a_run_that_took_no_time_has_a_log() -> None:
    """A run of 0 ms counts with the logarithm of 0.001 ms."""
    sizes: Sizes = {}
    add_run(sizes, 1, 0.0)
    assert sizes == {1: (1, 0.0, math.log(1e-3), math.log(1e-3) ** 2)}


def test_there_are_never_more_than_32_blocks() -> None:
    """3,600 seconds fit into 29 blocks of 128 s."""
    hour = reduce(add, (Cost.tick(1, 1.0, at_s=float(second)) for second in range(3600)))
    assert (hour.block_s, len(hour.cells)) == (128, 29)
    assert sum(block[1][0] for block in hour.cells.values()) == hour.rows == hour.blocks == 3600


def test_ticks_without_a_time_follow_one_another() -> None:
    """Ticks without a time count as consecutive seconds."""
    untimed = sum((Cost.tick(1, float(ms)) for ms in range(1, 101)), Cost())
    said = sum((Cost.tick(1, float(ms), at_s=ms - 1.0) for ms in range(1, 101)), Cost())
    assert untimed.cells == said.cells


def test_a_clock_that_jumps_spoils_nothing() -> None:
    """A jump of the clock by a day leaves the blocks one second long."""
    before = sum((Cost.tick(1, 1.0, at_s=float(second)) for second in range(20)), Cost())
    assert (before + Cost.tick(1, 1.0, at_s=90_000.0)).block_s == 1


@given(ticks=st.lists(timed, min_size=1, max_size=80), data=st.data())
def test_neither_order_nor_cuts_mean_anything(ticks: list[Cost], data: st.DataObject) -> None:
    """A cost does not depend on the order in which ticks are added or where they are split."""
    cut = data.draw(st.integers(0, len(ticks)))
    whole = sum(ticks, Cost())
    assert sum(data.draw(st.permutations(ticks)), Cost()) == whole
    assert sum(ticks[:cut], Cost()) + sum(ticks[cut:], Cost()) == whole


def test_blocks_can_be_made_as_long_as_anothers() -> None:
    """Blocks of one second can be merged into blocks of four."""
    cost = sum((Cost.tick(2, 1.0, at_s=float(second)) for second in range(8)), Cost())
    assert coarsen(cost, 4) == {0: {2: (4, 4000, 0, 0)}, 1: {2: (4, 4000, 0, 0)}}


def test_what_an_older_version_stored_is_read() -> None:
    """A cost that an older version stored keeps its rows and its time."""
    stored = (
        '{"blocks": 2, "rows": 5, "cpu_ms": 7.0, "rows_squares": 13, "cpu_ms_squares": 25, "products": 18}'
    )
    assert Cost.model_validate_json(stored) == Cost(blocks=2, rows=5, cpu_ms=7.0)


def test_cost_survives_json() -> None:
    """A cost is the same after a round trip through JSON, where its keys are text."""
    cost = Cost.tick(3, 2.0, at_s=5.0)
    assert Cost.model_validate_json(cost.model_dump_json()) == cost
