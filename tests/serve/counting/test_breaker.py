"""When failures of a candidate count as total, and when not."""

import pytest

from serve.counting.breaker import RUN, USERS, Breaker


def failing(count: int = RUN, buckets: list[int | None] | None = None) -> Breaker:
    """Return a breaker that has counted `count` failures in a row, of keys from these buckets in turn."""
    breaker, keys = Breaker(), buckets or [None]
    for number in range(count):
        breaker.note_candidate("ModelFailed", keys[number % len(keys)])
    return breaker


@pytest.mark.parametrize(("count", "due"), [(RUN - 1, False), (RUN, True), (RUN + 5, True)])
def test_a_whole_run_must_have_failed(count: int, due: bool) -> None:
    """The breaker opens only after a whole run of failures."""
    assert failing(count).due == due


def test_one_good_answer_begins_anew() -> None:
    """A successful answer resets the count of failures."""
    breaker = failing(RUN - 1)
    breaker.note_candidate("", None)
    for _ in range(RUN - 1):
        breaker.note_candidate("ModelFailed", None)
    assert not breaker.due


@pytest.mark.parametrize(("keys", "due"), [(1, False), (USERS - 1, False), (USERS, True)])
def test_several_users_must_have_met_it(keys: int, due: bool) -> None:
    """The breaker opens only if several keys failed."""
    assert failing(buckets=list(range(keys))).due == due


@pytest.mark.parametrize(("failed", "due"), [(0, True), (10, True), (11, False), (20, False)])
def test_a_baseline_that_fails_too_is_no_better_place(failed: int, due: bool) -> None:
    """The breaker stays closed if more than half of the baseline's last 20 requests failed too."""
    breaker = failing()
    for number in range(20):
        breaker.note_baseline(failed=number < failed)
    assert breaker.due == due


def test_it_opens_once_and_says_why() -> None:
    """The breaker opens once, and its reason has the number of failures by cause."""
    breaker = failing(12)
    for _ in range(8):
        breaker.note_candidate("abandoned", None)
    breaker.open("r1")
    assert breaker.trip is not None
    assert breaker.trip.rollout == "r1"
    assert breaker.trip.reason.startswith("20 of the last 20 requests failed (ModelFailed 12, abandoned 8)")
    assert not breaker.due
