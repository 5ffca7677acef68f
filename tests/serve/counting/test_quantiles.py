"""Quantiles of a past that may have had an incident."""

from collections.abc import Iterable

import numpy as np
import pytest

from serve.counting.quantiles import History, limits_of, recent_ms, steady_ms
from serve.counting.tally import EDGES_MS, Histogram


def history(parts: Iterable[tuple[int, float]], requests_per_s: int = 20, every_s: int = 5) -> History:
    """Return the histograms noted of a variant whose requests took `ms` for `seconds`, for each part."""
    latency = Histogram()
    noted, now_s = [(0.0, Histogram())], 0
    for seconds, ms in parts:
        for _ in range(seconds):
            now_s += 1
            for _ in range(requests_per_s):
                latency.record(ms)
            if now_s % every_s == 0:
                noted.append((float(now_s), latency + Histogram()))
    return noted


def edge(latency_ms: float) -> float:
    """Return the upper edge of the latency's bucket."""
    return min(edge for edge in EDGES_MS if edge >= latency_ms)


@pytest.mark.parametrize("at_s", [0, 17, 294, 588])
def test_an_incident_leaves_the_steady_quantile_alone(at_s: int) -> None:
    """12 slow seconds in ten minutes do not change the steady quantile, wherever they are."""
    parts = [(at_s, 10.0), (12, 3000.0), (588 - at_s, 10.0)]
    assert steady_ms(history(parts), 0.99) == edge(10)


def test_a_baseline_that_is_never_steady_has_no_steady_quantile() -> None:
    """A latency that switches every minute between 10 and 100 ms gives no steady quantile."""
    assert steady_ms(history([(60, 10.0), (60, 100.0)] * 5), 0.99) is None


def test_two_minutes_are_no_steady_past() -> None:
    """A past of 170 s gives no steady quantile, and one of 180 s does."""
    assert steady_ms(history([(170, 10.0)]), 0.99) is None
    assert steady_ms(history([(180, 10.0)]), 0.99) == edge(10)


def test_a_quantile_rests_on_ten_requests_beyond_it() -> None:
    """At 1 request a second, ten minutes give the 95th percentile and not the 99th."""
    slow = history([(600, 10.0)], requests_per_s=1)
    assert (steady_ms(slow, 0.99), steady_ms(slow, 0.95)) == (None, edge(10))


def test_lognormal_latencies_are_steady() -> None:
    """In 200 draws of lognormal latencies at least 190 have a steady p99, whose median is near the true 16
    ms."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(200):
        latency, noted = Histogram(), [(0.0, Histogram())]
        for minute in range(10):
            for ms in rng.lognormal(np.log(5), 0.5, 102):
                latency.record(float(ms))
            noted.append((60.0 * (minute + 1), latency + Histogram()))
        found.append(steady_ms(noted, 0.99))
    known = [each for each in found if each is not None]
    assert len(known) >= 190
    assert np.median(known) == pytest.approx(16, rel=0.12)


def test_the_recent_past_is_a_minute() -> None:
    """The recent past covers the last minute: what was before it has no effect."""
    assert recent_ms(history([(600, 100.0), (65, 10.0)]), 0.5) == edge(10)
    assert recent_ms(history([(600, 100.0), (20, 10.0)]), 0.5) == edge(100)


def test_the_recent_past_is_as_long_as_it_takes() -> None:
    """At 1 request a second the p50 needs a minute, the p95 200 s and the p99 1,000 s."""
    parts = [(2000, 100.0), (150, 10.0)]
    seldom = history(parts, requests_per_s=1)
    assert [recent_ms(seldom, q) for q in (0.5, 0.95, 0.99)] == [edge(10), edge(100), edge(100)]
    assert recent_ms(history([(990, 10.0)], requests_per_s=1), 0.99) is None
    assert recent_ms(history([(1000, 10.0)], requests_per_s=1), 0.99) == edge(10)


def test_limits_are_a_multiple_of_the_baselines_quantiles() -> None:
    """A limit is a multiple of the baseline's quantile, and at least `plus_ms` above it."""
    calm = history([(120, 100.0)])
    limits = limits_of(calm, (None, None, None), 0.1, times_baseline=1.25, plus_ms=2.0)
    assert list(limits) == [pytest.approx(1.25 * edge(100))] * 3
    quick = limits_of(history([(120, 1.0)]), (None, None, None), 0.1, times_baseline=1.25, plus_ms=2.0)
    assert quick[0] == pytest.approx(edge(1) + 2)


def test_a_limit_that_is_not_known_is_none() -> None:
    """A minute at 4 requests a second gives limits for the p50 and the p95, and none for the p99."""
    limits = limits_of(history([(60, 9.0)], requests_per_s=4), (None,) * 3, 0.5, times_baseline=2, plus_ms=0)
    assert [limit is None for limit in limits] == [False, False, True]


def test_with_most_of_the_traffic_the_candidate_is_held_against_a_baseline_that_had_it_too() -> None:
    """At 95 % of the traffic the limits follow the baseline's quantiles under a comparable load."""
    idle = history([(120, 10.0)])
    limits = limits_of(idle, (30.0, None, 5.0), 0.95, times_baseline=2, plus_ms=0)
    assert list(limits) == [60.0, None, pytest.approx(2 * edge(10))]


def test_gateways_that_were_started_anew_are_no_negative_requests() -> None:
    """Counts that fell after a restart give no quantile."""
    whole = history([(120, 10.0)])
    assert recent_ms([*whole, (125.0, Histogram())], 0.5) is None
