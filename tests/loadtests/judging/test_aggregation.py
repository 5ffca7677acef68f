import numpy as np
import pytest

from loadtests.judging.aggregation import (
    UNKNOWN,
    describe,
    describe_sender,
    estimate_quantile,
    make_timeline,
    split_by_variant,
)
from loadtests.variant_report import Interval
from tests.loadtests.samples import join, make_failed, make_measurement, make_samples, make_unanswered

_THOUSAND = np.arange(1.0, 1001)


def _estimate(estimate: Interval | None) -> Interval:
    assert estimate is not None
    return estimate


def test_percentiles_are_measured_values() -> None:
    """For 1 to 1,000 ms, the p50, p95 and p99 are 500, 950 and 990 ms, and the mean is 500.5 ms."""
    report = describe(make_samples(_THOUSAND), None, 1000)
    found = [_estimate(each).value for each in (report.p50_ms, report.p95_ms, report.p99_ms)]
    assert found == pytest.approx([500, 950, 990])
    assert report.mean_ms == pytest.approx(500.5)


@pytest.mark.parametrize(("q", "n"), [(0.5, 100), (0.95, 400), (0.99, 3000)])
def test_intervals_hold_the_true_quantile(q: float, n: int) -> None:
    """In at least 93 of 100 seeds the interval, which promises 95 %, contains the true quantile."""
    held = 0
    for seed in range(100):
        values = np.sort(np.random.default_rng(seed).lognormal(size=n))
        estimate = _estimate(estimate_quantile(values, q))
        # The quantile of the lognormal law is exp of the normal one's.
        truth = {0.5: 1.0, 0.95: 5.1803, 0.99: 10.2405}[q]
        held += (estimate.low or 0) <= truth <= (estimate.high or np.inf)
    assert held >= 93


def test_too_few_samples_bound_nothing() -> None:
    """The p99 of 100 values has no upper bound, and there is none of no values."""
    estimate = _estimate(estimate_quantile(np.arange(1.0, 101), 0.99))
    assert (estimate.value, estimate.low, estimate.high) == (99, 97, None)
    assert estimate_quantile(np.zeros(0), 0.5) is None


def test_what_was_never_answered_counts_with_the_time_it_waited() -> None:
    """Unanswered requests count with their waiting time in the p95; immediate errors do not count."""
    samples = join(make_samples([10, 10]), make_unanswered([900, 900], pinned="fp32"), make_failed(3))
    report = describe(samples, 1000, 2)
    assert _estimate(report.p95_ms).value == pytest.approx(900)
    assert (report.requests, report.errors, report.over_limit) == (7, 5, 2)
    assert report.mean_ms == pytest.approx(455)


def test_over_the_limit_is_counted_from_the_intended_start() -> None:
    """An answer that took 10 ms to a request that was sent 90 ms late is over a limit of 50 ms."""
    report = describe(make_samples([100, 49], late_ms=90), 50, 2)
    assert report.over_limit == 1
    assert describe(make_samples([100]), None, 1).over_limit is None


def test_the_curve_reaches_as_far_as_the_samples() -> None:
    """The curve has ten points per decade of the tail, from the fastest to the value that 0.1 % exceed."""
    curve = describe(make_samples(_THOUSAND), None, 1000).curve
    assert len(curve) == 31
    assert curve[0] == pytest.approx((0, 1))
    assert curve[10] == pytest.approx((0.9, 900))
    assert curve[-1] == pytest.approx((0.999, 999))


def test_an_error_without_a_variant_is_of_unknown() -> None:
    """An error without a known variant counts for `unknown`."""
    rows = split_by_variant(join(make_samples([1, 1]), make_failed(1)), ["fp32", "int8"])
    assert {name: len(samples) for name, samples in rows.items()} == {"fp32": 2, "int8": 0, UNKNOWN: 1}


def test_an_error_on_a_pinned_request_is_of_its_pin() -> None:
    """An error of a pinned request counts for the pinned variant."""
    rows = split_by_variant(make_failed(2, pinned="int8"), ["int8"])
    assert {name: len(samples) for name, samples in rows.items()} == {"int8": 2}
    report = describe(rows["int8"], 50, 0)
    assert (report.errors, report.p50_ms, report.mean_ms, report.curve) == (2, None, None, ())


def test_shares_are_of_right_answers() -> None:
    """The share is that of correct answers: three of four give 0.75, and errors alone give 0."""
    assert describe(make_samples([1, 1, 1]), None, 4).share_served == 0.75
    assert describe(make_failed(2), None, 0).share_served == 0


def test_the_timeline_shows_when_it_was() -> None:
    """The timeline has the errors, the gap and the slow answers each in their own second."""
    samples = join(
        make_samples([10, 20], at_s=[0.1, 0.2]),
        make_failed(3, at_s=[1.1, 1.2, 1.3]),
        make_samples([500, 500], at_s=[3.1, 3.2]),
    )
    timeline = make_timeline({"fp32": samples}, 4)
    assert timeline is not None
    assert timeline.at_s == (1, 2, 3, 4)
    assert timeline.in_flight == (1, 1, 0, 2)
    row = timeline.variants["fp32"]
    assert (row.requests, row.errors) == ((2, 3, 0, 2), (0, 3, 0, 0))
    assert row.p50_ms == pytest.approx((10, None, None, 500))
    assert row.p99_ms == pytest.approx((20, None, None, 500))


def test_a_timeline_has_at_most_30_windows_and_at_least_2() -> None:
    """A timeline of four hours has 30 windows, and one of less than two seconds is omitted."""
    long = make_timeline({"fp32": make_samples([1])}, 14_400)
    assert long is not None
    assert len(long.at_s) == 30
    assert make_timeline({"fp32": make_samples([1])}, 1.9) is None


def test_the_sender_is_described_by_its_lateness() -> None:
    """For lateness from 1 to 100 ms, the p50 is 50 and the p99 is 99; 0.3 s in 1.5 s are 20 % of a core."""
    samples = join(*[make_samples([200], late_ms=ms) for ms in range(1, 101)])
    sender = describe_sender(make_measurement(samples, cpu_s=0.3, wall_s=1.5, pool_full=7))
    late = (sender.lateness_p50_ms, sender.lateness_p99_ms, sender.lateness_max_ms)
    assert late == pytest.approx((50, 99, 100))
    assert sender.cpu_share == pytest.approx(0.2)
    assert (sender.in_flight, sender.pool_full) == (100, 7)


def test_a_sender_that_sent_nothing_was_not_punctual() -> None:
    """Without requests, the sender's lateness and CPU share are None."""
    sender = describe_sender(make_measurement(make_samples([]), wall_s=0))
    assert (sender.lateness_p99_ms, sender.cpu_share, sender.in_flight) == (None, 0, 0)
