from typing import Any

import numpy as np
import pytest

from loadtests.load_plan import LoadPlan, steady
from loadtests.sending.arrivals import SPLIT, Schedule, make_endless, make_schedule


def _schedule(payloads: int = 7, **changes: Any) -> Schedule:
    fields = {"url": "http://host", "model": "digits", "profile": steady(200, 50), "warmup_s": 0}
    return make_schedule(LoadPlan.model_validate(fields | changes), payloads)


def _same(one: Schedule, other: Schedule) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("at_s", "pin", "payload")
    )


def test_the_same_seed_gives_the_same_schedule() -> None:
    """The same seed gives the same schedule."""
    assert _same(_schedule(seed=3, pinned=("a", "b")), _schedule(seed=3, pinned=("a", "b")))


def test_another_seed_gives_another_schedule() -> None:
    """Another seed gives other arrivals."""
    assert not np.array_equal(_schedule(seed=3).at_s[:50], _schedule(seed=4).at_s[:50])


def test_pins_and_payloads_leave_the_times_alone() -> None:
    """Pins and payloads do not change the times of a schedule."""
    assert np.array_equal(_schedule().at_s, _schedule(pinned=("int8",), payloads=1000).at_s)


@pytest.mark.parametrize("arrivals", ["poisson", "constant"])
def test_times_are_in_order_and_within_the_duration(arrivals: str) -> None:
    """The times rise and lie between 0 and the duration."""
    times = _schedule(arrivals=arrivals).at_s
    assert np.all(np.diff(times) >= 0)
    assert times[0] > 0
    assert times[-1] < 50


def test_the_number_of_arrivals_is_poisson() -> None:
    """Over 40 seeds of mean 10,000 each, the counts scatter as sqrt(10,000) around it.

    Their mean lies within 5 standard errors, 5 * 100 / sqrt(40) = 79. Their variance over 10,000 is
    chi-square with 39 degrees of freedom over 39, whose standard deviation is sqrt(2 / 39): within 5."""
    counts = np.array([len(_schedule(seed=seed)) for seed in range(40)])
    assert abs(counts.mean() - 10_000) < 79
    assert abs(counts.var(ddof=1) / 10_000 - 1) < 5 * (2 / 39) ** 0.5


def test_gaps_are_exponential() -> None:
    """The share of gaps above the mean gap is exp(-1), within 5 binomial standard deviations."""
    gaps = np.diff(_schedule().at_s)
    share = (gaps > 1 / 200).mean()
    assert abs(share - np.exp(-1)) < 5 * (np.exp(-1) * (1 - np.exp(-1)) / len(gaps)) ** 0.5


def test_constant_arrivals_are_even() -> None:
    """Constant arrivals are 5 ms apart, and the first comes after 2.5 ms."""
    times = _schedule(arrivals="constant").at_s
    assert len(times) == 10_000
    assert times[0] == pytest.approx(0.0025)
    assert np.diff(times) == pytest.approx(0.005)


def test_a_ramp_is_the_integral_of_its_line() -> None:
    """On a ramp from 0 to 200/s in 50 s, 2 t^2 requests arrive by t."""
    times = _schedule(profile=((0, 0), (50, 200)), arrivals="constant").at_s
    assert len(times) == 5000
    assert 2 * times**2 == pytest.approx(np.arange(0.5, 5000))


def test_a_spike_has_its_own_rate() -> None:
    """Two points at the same second are a jump: 100, 1,000 and 90 requests in the three parts."""
    spike = ((0, 10), (10, 10), (10, 1000), (11, 1000), (11, 10), (20, 10))
    times = _schedule(profile=spike, arrivals="constant").at_s
    assert np.histogram(times, [0, 10, 11, 20])[0].tolist() == [100, 1000, 90]


def test_a_pause_sends_nothing() -> None:
    """At a rate of 0 nothing is sent, and later requests keep their times."""
    times = _schedule(profile=((0, 100), (10, 100), (10, 0), (20, 0), (20, 100), (30, 100))).at_s
    assert not np.any((times > 10) & (times < 20))
    assert times[-1] > 29


def test_the_warmup_lies_below_0() -> None:
    """The warm-up is sent at the first rate before 0, and the counted part keeps its length."""
    times = _schedule(warmup_s=5, arrivals="constant").at_s
    assert (times < 0).sum() == 1000
    assert times[0] == pytest.approx(-5 + 0.0025)
    assert times[-1] < 50


def test_pins_are_drawn_evenly() -> None:
    """Each of two pins gets half of the requests, within 5 binomial standard deviations."""
    schedule = _schedule(pinned=("fp32", "int8"))
    assert set(schedule.pin.tolist()) == {0, 1}
    assert abs((schedule.pin == 0).sum() - len(schedule) / 2) < 5 * len(schedule) ** 0.5 / 2


def test_without_pins_the_split_decides() -> None:
    """Without pins no variant is requested."""
    assert set(_schedule().pin.tolist()) == {SPLIT}


def test_every_payload_is_used() -> None:
    """10,000 draws use all seven payloads."""
    assert set(_schedule().payload.tolist()) == set(range(7))


def test_shares_are_the_whole() -> None:
    """The shares of three senders have each request of the schedule once."""
    whole = _schedule(pinned=("a", "b"))
    parts = [whole.share(part, 3) for part in range(3)]
    assert sum(map(len, parts)) == len(whole)
    times = np.concatenate([part.at_s for part in parts])
    assert np.array_equal(np.sort(times), whole.at_s)
    assert {part.variants for part in parts} == {("a", "b")}


def test_an_endless_schedule_begins_like_one_that_ends() -> None:
    """An endless schedule starts like one of 60 s with the same seed."""
    plan = LoadPlan.model_validate(
        {"url": "http://host", "model": "digits", "profile": steady(50, 1), "seed": 3}
    )
    first = next(make_endless(plan, payloads=7))
    run = make_schedule(plan.model_copy(update={"profile": steady(50, 60)}), payloads=7)
    assert np.allclose(first.at_s[: len(run)], run.at_s)
    assert np.array_equal(first.payload[: len(run)], run.payload)


def test_an_endless_schedule_goes_on_with_other_draws() -> None:
    """The next part of an endless schedule follows the first, has no warm-up and has other arrivals."""
    plan = LoadPlan.model_validate({"url": "http://host", "model": "digits", "profile": steady(50, 1)})
    parts = make_endless(plan, payloads=7)
    first, second = next(parts), next(parts)
    assert first.at_s[-1] < 600 <= second.at_s[0] < second.at_s[-1] < 1200
    assert not np.allclose(first.at_s[first.at_s >= 0][:50], second.at_s[:50] - 600)


def test_a_schedule_is_walked_request_by_request() -> None:
    """Iterating over a schedule gives each request's time, variant (None for the split) and input."""
    schedule = Schedule(
        at_s=np.array([0.5, 1.5]), pin=np.array([1, SPLIT]), payload=np.array([4, 2]), variants=("a", "b")
    )
    assert list(schedule) == [(0.5, "b", 4), (1.5, None, 2)]
