import numpy as np

from loadtests.arrivals import Arrival, make_schedule


def _schedule(seed: int = 0, pinned: tuple[str, ...] = (), payloads: int = 7) -> list[Arrival]:
    return make_schedule(rate_per_s=200, duration_s=50, pinned=pinned, payloads=payloads, seed=seed)


def test_the_same_seed_gives_the_same_schedule() -> None:
    """A run can be repeated exactly."""
    assert _schedule(seed=3, pinned=("a", "b")) == _schedule(seed=3, pinned=("a", "b"))


def test_another_seed_gives_another_schedule() -> None:
    """The seed decides the arrivals."""
    assert _schedule(seed=3) != _schedule(seed=4)


def test_pins_and_payloads_leave_the_times_alone() -> None:
    """Two variants measured one after the other get requests at the same times."""
    plain = [arrival.at_s for arrival in _schedule()]
    assert plain == [arrival.at_s for arrival in _schedule(pinned=("int8",), payloads=1000)]


def test_times_are_in_order_and_within_the_duration() -> None:
    """Nothing is scheduled before the start, after the end, or out of turn."""
    times = [arrival.at_s for arrival in _schedule()]
    assert times == sorted(times)
    assert times[0] > 0
    assert times[-1] < 50


def test_the_number_of_arrivals_is_poisson() -> None:
    """Over 40 seeds of mean 10,000 each, the counts scatter as sqrt(10,000) around it.

    Their mean lies within 5 standard errors, 5 * 100 / sqrt(40) = 79. Their variance over 10,000 is
    chi-square with 39 degrees of freedom over 39, whose standard deviation is sqrt(2 / 39): within 5."""
    counts = np.array([len(_schedule(seed)) for seed in range(40)])
    assert abs(counts.mean() - 10_000) < 79
    assert abs(counts.var(ddof=1) / 10_000 - 1) < 5 * (2 / 39) ** 0.5


def test_gaps_are_exponential() -> None:
    """The share of gaps above the mean gap is exp(-1), within 5 binomial standard deviations."""
    gaps = np.diff([arrival.at_s for arrival in _schedule()])
    share = (gaps > 1 / 200).mean()
    assert abs(share - np.exp(-1)) < 5 * (np.exp(-1) * (1 - np.exp(-1)) / len(gaps)) ** 0.5


def test_pins_are_drawn_evenly() -> None:
    """Each of two pins gets half of the requests, within 5 binomial standard deviations."""
    variants = [arrival.variant for arrival in _schedule(pinned=("fp32", "int8"))]
    assert set(variants) == {"fp32", "int8"}
    assert abs(variants.count("fp32") - len(variants) / 2) < 5 * len(variants) ** 0.5 / 2


def test_without_pins_the_split_decides() -> None:
    """No variant is asked for."""
    assert {arrival.variant for arrival in _schedule()} == {None}


def test_every_payload_is_used() -> None:
    """10,000 draws from 7 miss one of them with a probability of 7 * (6/7)^10000, which is none."""
    assert {arrival.payload for arrival in _schedule()} == set(range(7))
