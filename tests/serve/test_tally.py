import numpy as np

from serve.rollout.tally import Tally


def filled(latencies_ms: list[float], failed: int = 0) -> Tally:
    tally = Tally()
    for number, latency_ms in enumerate(latencies_ms):
        tally.record(latency_ms, failed=number < failed)
    return tally


def test_tallies_add_up() -> None:
    """Two gateways' tallies are the tally of all their requests."""
    both = filled([1.0, 2.0], failed=1) + filled([4.0], failed=1)
    assert (both.requests, both.errors) == (3, 2)
    assert both.buckets == filled([1.0, 2.0, 4.0]).buckets


def test_quantiles_are_within_a_buckets_width() -> None:
    """A quantile is the upper edge of its bucket: at least the true value, at most 10.1 % above it."""
    latencies = np.random.default_rng(7).lognormal(1.0, 1.0, 5_000)
    tally = filled(list(latencies))
    for q in (0.5, 0.9, 0.99):
        true = float(np.quantile(latencies, q, method="inverted_cdf"))
        measured = tally.quantile_ms(q)
        assert measured is not None
        assert true <= measured <= true * 10 ** (1 / 24)


def test_without_requests_there_is_no_quantile() -> None:
    """Nothing measured is not zero milliseconds."""
    assert Tally().quantile_ms(0.5) is None


def test_a_request_slower_than_the_last_edge_is_still_counted() -> None:
    """Nothing is dropped at the slow end."""
    assert sum(filled([1e9]).buckets) == 1
