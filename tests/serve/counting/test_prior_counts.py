"""The requests and errors that keys had at the baseline before a rollout."""

import asyncio
from collections.abc import Mapping

import pytest

from serve.base.errors import InvalidRequest, ModelFailed
from serve.base.routing import BUCKETS
from serve.counting.prior_counts import PriorCounts, Recalled


class Hour:
    """A clock that a test sets."""

    now_s = 1e6

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


def known(past: PriorCounts) -> Mapping[int, tuple[int, int]]:
    """Return requests and errors by bucket."""
    return {bucket: (count.requests, count.errors) for bucket, count in past.counts().keys.items()}


def test_requests_and_errors_are_counted_by_bucket() -> None:
    """Requests and errors are counted by bucket, and buckets without requests are omitted."""
    past = PriorCounts()
    for failed in (True, False, False):
        past.count(BUCKETS - 1, failed=failed)
    past.count(0, failed=False)
    assert known(past) == {0: (1, 0), BUCKETS - 1: (3, 1)}


def test_nothing_is_older_than_an_hour() -> None:
    """Counts are kept for at least half an hour and at most an hour."""
    hour = Hour()
    past = PriorCounts(hour)
    past.count(1, failed=False)
    hour.now_s += 1799
    past.count(2, failed=False)
    hour.now_s += 1800
    assert known(past) == {1: (1, 0), 2: (1, 0)}
    past.count(3, failed=False)
    hour.now_s += 1801
    assert known(past) == {3: (1, 0)}


def test_after_a_long_silence_nothing_is_known() -> None:
    """After a day without requests nothing is known of the day before."""
    hour = Hour()
    past = PriorCounts(hour)
    past.count(1, failed=True)
    hour.now_s += 86_400
    assert known(past) == {}


@pytest.mark.parametrize(
    ("error", "errors"),
    [(ModelFailed("no"), 1), (InvalidRequest("nonsense"), 0), (asyncio.CancelledError(), 0)],
    ids=["failed", "invalid", "left"],
)
def test_what_is_no_fault_of_the_model_is_no_error(error: BaseException, errors: int) -> None:
    """Each request counts, but an error counts only if the model is at fault."""
    past = PriorCounts()
    with pytest.raises(type(error)), Recalled(past, 5):
        raise error
    assert known(past) == {5: (1, errors)}


def test_a_request_without_a_key_is_nobodys() -> None:
    """A request without a key is not counted."""
    past = PriorCounts()
    with Recalled(past, None):
        pass
    assert known(past) == {}
