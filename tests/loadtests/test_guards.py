import pytest

from loadtests.guards import guard_backlog


@pytest.mark.parametrize(
    ("unanswered", "at_half", "outcome"),
    [(80, 40, "FAIL"), (40, 40, "PASS"), (19, 0, "PASS"), (500, 10, "FAIL")],
    ids=["evenly more", "no more", "few", "all at once"],
)
def test_answers_that_pile_up_are_told(unanswered: int, at_half: int, outcome: str) -> None:
    """8 % too much for 5 s leave twice as many open at the end as in the middle; a slow server has as many
    open all the time."""
    assert guard_backlog(1000, unanswered, at_half).outcome == outcome
