"""Two rankings differ if the order of their highest scores does."""

from typing import Any

import numpy as np
import pytest

from serve.bundles.meaning import Meaning
from serve.tasks.compare_outputs import compare
from serve.tasks.describe_answer import describe

BEFORE = [5.0, 4.0, 3.0, 1.0]


def differ(baseline: Any, candidate: Any, top: int = 3) -> bool:
    """Whether the answers to one query differ."""
    one, other = (np.asarray([each], np.float32) for each in (baseline, candidate))
    return bool(compare("ranking", one, other, Meaning(kind="ranks", top=top)).differ[0])


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        ([50, 4.9, 4.8, -9], False),
        ([5, 3, 4, 1], True),
        ([5, 4, 1, 3], True),
        ([5, 4, np.nan, 1], True),
        ([0, 0, 0, 0], False),
    ],
    ids=str,
)
def test_the_order_counts_alone(candidate: Any, expected: bool) -> None:
    """Not the scores. Equal scores keep the order of the items."""
    assert differ(BEFORE, candidate) is expected


def test_only_the_first_items_count() -> None:
    """By the rule's `top`."""
    assert not differ(BEFORE, [5, 4, 1, 3], top=2)
    assert differ(BEFORE, [5, 4, 1, 3], top=100)


def test_items_that_differ_in_their_last_bits_are_tied() -> None:
    """In the baseline, relative to the largest score."""
    tied = [5.0, np.nextafter(np.float32(5), np.float32(4)), 3.0]
    assert not differ(tied, [1, 2, 0])
    assert differ([5.0, 4.999, 3.0], [1, 2, 0])
    assert differ([np.inf, 4.0, 3.0], [2, 0, 1])


def test_items_that_the_baseline_lacks_do_not_count() -> None:
    """They are last in both."""
    assert not differ([2, np.nan, 1], [2, 9, 1])


def test_a_ranking_is_described_by_its_first_items() -> None:
    """The numbers of four of them."""
    meaning = Meaning(kind="ranks", top=10)
    assert describe(meaning, np.array([1, 9, 2, 3, 0], np.float32), None) == "first items 1, 3, 2, 0, ..."
