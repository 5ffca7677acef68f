import asyncio

import numpy as np
import pytest

from serve.counting.tally import Counted, Histogram, Tally


def filled(durations_ms: list[float]) -> Histogram:
    histogram = Histogram()
    for duration_ms in durations_ms:
        histogram.record(duration_ms)
    return histogram


def tally_of(latencies_ms: list[float], *causes: str) -> Tally:
    """Return a tally of these requests, with one failed request per cause."""
    tally = Tally()
    tally.requests = len(latencies_ms)
    tally.latency = filled(latencies_ms)
    tally.failures.update(causes)
    return tally


def test_tallies_add_up() -> None:
    """The sum of two tallies has the requests, failures and latencies of both."""
    both = tally_of([1.0, 2.0], "ModelFailed") + tally_of([4.0], "DeadlineExceeded")
    assert (both.requests, both.errors) == (3, 2)
    assert both.failures == {"ModelFailed": 1, "DeadlineExceeded": 1}
    assert both.latency.buckets == filled([1.0, 2.0, 4.0]).buckets
    assert both.latency.sum_ms == 7.0


def test_runs_add_up_by_their_size() -> None:
    """Runs of the same size are added, and runs of different sizes are kept apart."""
    one, other = Tally(), Tally()
    one.runs[4], one.runs[1], other.runs[4] = 2, 1, 3
    assert (one + other).runs == {1: 1, 4: 5}


def test_the_last_request_of_two_tallies_is_the_later_one() -> None:
    """The sum's last request is the later one of the two."""
    one, other = Tally(), Tally()
    one.last_s, other.last_s = 20.0, 10.0
    assert (one + other).last_s == 20.0


def test_adding_leaves_both_as_they_were() -> None:
    """Adding two tallies changes neither."""
    one, other = tally_of([1.0], "ModelFailed"), tally_of([2.0])
    total = one + other
    total.failures["ModelFailed"] += 5
    total.latency.record(3.0)
    assert (one.errors, one.latency.count, other.latency.count) == (1, 1, 1)


def test_quantiles_are_within_a_buckets_width() -> None:
    """A quantile is the upper edge of its bucket: at least the true value, at most 10.1 % above it."""
    latencies = np.random.default_rng(7).lognormal(1.0, 1.0, 5_000)
    histogram = filled(list(latencies))
    for q in (0.5, 0.9, 0.99):
        true = float(np.quantile(latencies, q, method="inverted_cdf"))
        measured = histogram.quantile_ms(q)
        assert measured is not None
        assert true <= measured <= true * 10 ** (1 / 24)


def test_a_client_that_left_is_counted_apart() -> None:
    """A cancelled request counts as abandoned and not as a request or an error."""
    tally = Tally()
    with pytest.raises(asyncio.CancelledError), Counted(tally):
        raise asyncio.CancelledError
    assert (tally.abandoned, tally.requests, tally.errors) == (1, 0, 0)


def test_without_durations_there_is_no_quantile() -> None:
    """An empty histogram has no quantile."""
    assert Histogram().quantile_ms(0.5) is None


@pytest.mark.parametrize("duration_ms", [0.0, 0.1, 1e9])
def test_a_duration_outside_the_edges_is_still_counted(duration_ms: float) -> None:
    """A duration beyond the first or last edge is counted."""
    assert filled([duration_ms]).count == 1
