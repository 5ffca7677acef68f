"""How concentrated requests are on few keys."""

import numpy as np
import pytest

from serve.base.routing import BUCKETS
from serve.counting.key_counts import KeyCounts


def test_keys_add_up_by_bucket() -> None:
    """Counts by bucket are added, in any order."""
    one, other = KeyCounts(buckets={3: 2, 1: 1}), KeyCounts(buckets={1: 4})
    assert one + other == other + one == KeyCounts(buckets={1: 5, 3: 2})


def test_equal_keys_are_as_many_as_they_are() -> None:
    """Fifty keys with equal counts give a concentration of 1/50 less the 1/1,024 of chance."""
    keys = KeyCounts(buckets=dict.fromkeys(range(50), 1000))
    assert keys.concentration == pytest.approx(1 / 50 - 1 / BUCKETS, rel=0.01)


@pytest.mark.parametrize(("users", "least"), [(100, 90), (5_000, 3_000)])
def test_keys_that_share_a_bucket_are_not_taken_for_one(users: int, least: int) -> None:
    """Users in random buckets give a concentration near one over their number."""
    buckets = np.random.default_rng(1).integers(0, BUCKETS, users)
    counts = np.bincount(buckets, minlength=BUCKETS) * 1000
    assert 1 / KeyCounts(buckets=dict(enumerate(counts.tolist()))).concentration >= least


def test_nothing_known_could_be_one_key() -> None:
    """With at most one request the concentration is 1."""
    assert KeyCounts().concentration == KeyCounts(buckets={7: 1}).concentration == 1.0
