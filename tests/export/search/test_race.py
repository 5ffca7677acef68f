"""How far a trial goes."""

import pytest

from export.search.race import decide, list_rungs
from tests.export.search.trials import measured


@pytest.mark.parametrize(
    ("rows", "rungs"),
    [(100, (100,)), (255, (255,)), (256, (128, 256)), (900, (128, 900)), (1024, (128, 512, 1024))],
)
def test_rungs_grow_to_all_rows(rows: int, rungs: tuple[int, ...]) -> None:
    """Rungs grow fourfold, and the last one holds all rows."""
    assert list_rungs(rows) == rungs


def test_a_trial_that_may_still_win_goes_on() -> None:
    """A speed-up that reaches above the best goes on, also with a worse end below the floor."""
    assert decide(measured(2.0, violation=0.01, spread=0.1), beat=2.05) == "go on"


def test_a_slower_trial_ends() -> None:
    """A speed-up whose upper end is not above the best cannot win."""
    assert decide(measured(2.0, spread=0.1), beat=2.1) == "beaten"


def test_a_trial_surely_below_the_floor_ends() -> None:
    """A trial that is below the floor at the better end of its interval cannot be accepted."""
    assert decide(measured(3.0, violation=0.5, spread=0.1), beat=None) == "rejected"
