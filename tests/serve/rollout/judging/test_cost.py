"""Whether a candidate is cheaper, at equal sizes of run."""

import math
from itertools import cycle

import pytest

from serve.counting.key_counts import KeyCounts
from serve.rollout.evidence.evidence import Cost, Pair, Segment
from serve.rollout.judging.cost import concentration, weigh_cost
from serve.rollout.judging.guard_figure import Figure, safe_at


def run_ms(rows: int) -> float:
    """Return the time of a run, most of which does not depend on its size."""
    return 0.12 + 0.012 * rows


def costs(rows: int, ratio: float, seconds: int = 120) -> Cost:
    """A second has seven runs of one row and seven of `rows`; times are now a little more, now less."""
    wave = cycle((0.9, 1.1, 1.05, 0.95))
    total = Cost()
    for second in range(seconds):
        factor = ratio * next(wave)
        each_ms = {size: factor * run_ms(size) for size in (1, rows)}
        sizes = {size: (7, 7 * ms, 7 * math.log(ms), 7 * math.log(ms) ** 2) for size, ms in each_ms.items()}
        cpu_ms = 7 * sum(each_ms.values())
        total += Cost.tick(7 + 7 * rows, cpu_ms, sizes, float(second))
    return total


def shown(figure: Figure) -> bool:
    return figure.model_copy(update={"safe_at": safe_at(0.95)}).proven


@pytest.mark.parametrize("ratio", [1.0, 1.05, 1.5])
def test_larger_batches_make_nobody_cheaper(ratio: float) -> None:
    """A candidate with larger batches is not shown to be cheaper: runs of equal size are compared."""
    baseline, candidate = costs(2, 1.0), costs(9, ratio)
    figure = weigh_cost(baseline, candidate, 0.0)
    assert candidate.cpu_ms / candidate.rows < 0.6 * baseline.cpu_ms / baseline.rows
    assert figure.estimate == pytest.approx(ratio, rel=1e-3)
    assert not shown(figure)


def test_smaller_batches_make_nobody_dearer() -> None:
    """A candidate with smaller batches is shown to be 30 % cheaper in runs of equal size."""
    figure = weigh_cost(costs(9, 1.0), costs(2, 0.7), 0.05)
    assert figure.estimate == pytest.approx(0.7, rel=1e-3)
    assert shown(figure)


def test_without_runs_of_the_same_size_nothing_is_shown() -> None:
    """Without runs of equal size nothing is shown, and the figure says so."""
    nine, two = (
        sum((Cost.tick(rows, 0.01 * rows, at_s=float(second)) for second in range(100)), Cost())
        for rows in (9, 2)
    )
    figure = weigh_cost(two, nine, 0.0)
    assert figure.seen == "0.01 ms of CPU a row against 0.01, but no runs of equal size to compare"
    assert figure.safe == 0


def test_what_ran_at_another_time_is_not_compared() -> None:
    """Runs of different times are not compared."""
    early = sum((Cost.tick(1, 1.0, at_s=float(second)) for second in range(100)), Cost())
    late = sum((Cost.tick(1, 0.5, at_s=1e6 + second) for second in range(100)), Cost())
    assert "no runs of equal size" in weigh_cost(early, late, 0.0).seen


def test_what_drifts_together_is_no_noise() -> None:
    """A common drift of the cost does not hide a saving of 30 %."""
    drift = [1 + 0.5 * math.sin(second / 300) for second in range(1200)]
    baseline, candidate = (
        sum((Cost.tick(1, ratio * each, at_s=float(at)) for at, each in enumerate(drift)), Cost())
        for ratio in (1.0, 0.7)
    )
    figure = weigh_cost(baseline, candidate, 0.05)
    assert figure.estimate == pytest.approx(0.7)
    assert shown(figure)


def test_half_a_minute_shows_no_small_saving() -> None:
    """A saving of 20 % is shown after five minutes and not after half a minute."""
    assert not shown(weigh_cost(costs(2, 1.0, 30), costs(2, 0.8, 30), 0.05))
    assert shown(weigh_cost(costs(2, 1.0, 300), costs(2, 0.8, 300), 0.05))


def test_few_runs_that_take_very_long_stay_in_the_bill() -> None:
    """A candidate whose rare runs take very long is not cheaper, and the figure says why."""
    baseline = sum((Cost.tick(1, 1.0, at_s=float(second)) for second in range(400)), Cost())
    candidate = sum(
        (Cost.tick(1, 0.5 if second % 20 else 50.0, at_s=float(second)) for second in range(400)), Cost()
    )
    figure = weigh_cost(baseline, candidate, 0.0)
    assert figure.seen == (
        "2.98 ms of CPU a row against 1, 0.629 times at equal sizes of run, "
        "but 2.98 times by the arithmetic mean, because a few runs take very long; required below 1 times"
    )
    assert not shown(figure)


def test_one_of_the_two_alone_shows_nothing() -> None:
    """If only one variant ran, nothing is shown, and the figure says so."""
    assert weigh_cost(Cost(), costs(2, 1.0), 0.0).seen == "only one variant ran in this step"


def of_users(ratio: float, seconds: int = 300) -> Cost:
    """A second has ten runs of one row; half of the users cost three times what the others do."""
    each_ms = [ratio * each for each in (1.0, 3.0)] * 5
    sizes = {1: (10, sum(each_ms), sum(map(math.log, each_ms)), sum(math.log(each) ** 2 for each in each_ms))}
    return sum((Cost.tick(10, sum(each_ms), sizes, float(second)) for second in range(seconds)), Cost())


def keyed(users: int, sticky: bool = True) -> Segment:
    """Return a minute in which `users` of each variant had ten requests each."""
    keys = KeyCounts(buckets=dict.fromkeys(range(users), 10))
    return Segment(
        step=1,
        split=0.5,
        sticky=sticky,
        started_s=0,
        ended_s=60,
        requests=Pair(baseline=10 * users, candidate=10 * users),
        baseline_keys=keys if sticky else KeyCounts(),
        candidate_keys=keys if sticky else KeyCounts(),
    )


def test_few_users_that_stick_show_no_small_saving() -> None:
    """A saving of 25 % is shown with 400 sticky users and not with 20.

    Runs vary by 0.55 in logarithms, so the means of 20 users and of 20 others differ by 0.17 by chance:
    1.645 times that is a factor of 1.31. With 400 users it is 1.06, and without keys users even out."""
    baseline, candidate = of_users(1.0), of_users(0.75)
    few = weigh_cost(baseline, candidate, 0.05, concentration([keyed(20)]))
    assert few.seen == (
        "1.5 ms of CPU a row against 2, 0.75 times at equal sizes of run, "
        "of which differences between users may explain 1.31 times; required below 0.95 times"
    )
    assert not shown(few)
    assert shown(weigh_cost(baseline, candidate, 0.05, concentration([keyed(400)])))
    assert shown(weigh_cost(baseline, candidate, 0.05, concentration([keyed(20, sticky=False)])))


def test_requests_without_keys_thin_those_with_keys_out() -> None:
    """If only half of the requests have keys, the concentration is a quarter."""
    whole, half = concentration([keyed(20)]), concentration([keyed(20), keyed(20, sticky=False)])
    assert half == pytest.approx(whole / 4)


def test_keys_that_are_not_known_could_be_one() -> None:
    """Without counts by bucket, the concentration is that of a single key."""
    segment = keyed(20).model_copy(update={"baseline_keys": KeyCounts(), "candidate_keys": KeyCounts()})
    assert concentration([segment]) == 2
