import pytest

from serve.base.errors import TooManyWrites
from serve.http.token_bucket import TokenBucket


def taken(bucket: TokenBucket, times: int, now_s: float) -> int:
    """Return how many of `times` attempts succeed at `now_s`."""
    succeeded = 0
    for _ in range(times):
        try:
            bucket.take(now_s)
        except TooManyWrites:
            continue
        succeeded += 1
    return succeeded


def test_what_comes_in_two_seconds_may_come_at_once() -> None:
    """A burst of two seconds' worth is allowed, and one more is refused."""
    assert taken(TokenBucket(10), 100, 5.0) == 20


def test_it_fills_at_its_rate_and_no_higher_than_to_the_brim() -> None:
    """The bucket fills by 10 a second and holds at most 20."""
    bucket = TokenBucket(10)
    assert [taken(bucket, 100, now_s) for now_s in (0.0, 0.5, 0.5, 3600.0)] == [20, 5, 0, 20]


@pytest.mark.parametrize(("per_s", "seconds"), [(10, 1), (0.2, 5)])
def test_a_refusal_says_when_to_try_again(per_s: float, seconds: int) -> None:
    """The refusal gives whole seconds after which the next attempt succeeds."""
    bucket = TokenBucket(per_s)
    taken(bucket, 100, 0.0)
    with pytest.raises(TooManyWrites, match=f"more than {per_s:g} changes a second") as refused:
        bucket.take(0.0)
    assert refused.value.retry_after_s == seconds
    bucket.take(float(seconds))
