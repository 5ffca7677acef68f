import numpy as np
import pytest

from tests.loadtests.bounds import simulate_queue, stalled_p99_ms


def test_the_simulated_queue_is_the_one_of_the_formula() -> None:
    """The simulated mean at 80 % of 50/s equals the formula of Pollaczek and Khinchine: a request waits 40 ms
    and is served for 20 ms.

    The mean is that of the last half of each run, which no longer depends on its start. 2,000 runs have a
    standard error of about 0.6 ms, so the tolerance of 5 ms is eight of them."""
    latencies = simulate_queue(rate_per_s=40, per_s=50, duration_s=20)
    half = latencies[:, latencies.shape[1] // 2 :]
    assert half.mean() == pytest.approx(0.060, abs=0.005)
    assert latencies.min() == pytest.approx(0.020)


def test_the_bound_of_a_stall_holds_in_simulation() -> None:
    """In 1,000 simulated runs with a stall the lowest p99 is at most 0.25 s above the bound."""
    bound = stalled_p99_ms(rate_per_s=100, duration_s=6, stall_s=1)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(1000):
        came = np.sort(rng.uniform(0, 6, rng.poisson(600)))
        waits = np.where((came >= 2) & (came < 3), 3 - came, 0)
        found.append(1000 * np.quantile(waits, 0.99, method="inverted_cdf"))
    assert bound <= min(found) <= bound + 250
