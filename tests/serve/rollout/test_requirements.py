"""Whether a result misses a table's requirement."""

import pytest

from tests.serve.rollout.requirements import Found, Requirement


@pytest.mark.parametrize(
    ("asked", "count", "missed"),
    [
        (Requirement("seen", at_most=0.01), 0, False),
        # With a true rate of 1 %, six of a hundred occur once in 2,000 times and seven once in 20,000.
        (Requirement("seen", at_most=0.01), 6, False),
        (Requirement("seen", at_most=0.01), 7, True),
        (Requirement("seen", at_least=0.99), 100, False),
        (Requirement("seen", at_least=0.99), 94, False),
        (Requirement("seen", at_least=0.99), 93, True),
    ],
)
def test_chance_is_no_miss(asked: Requirement, count: int, missed: bool) -> None:
    """A result counts as a miss only if chance explains it in less than one of 10,000 cases."""
    assert asked.missed(Found(100, {"seen": count})) is missed


def test_the_share_stands_beside_what_is_asked() -> None:
    """The table has the measured share in percent beside its target."""
    found = Found(200, {"seen": 3})
    assert Requirement("seen", at_most=0.01).said(found) == "seen 1.50% (asked <= 1%)"
