"""Which events count as a stall, and which as a rate."""

import numpy as np
import pytest

from serve.rollout.evidence import event_series
from serve.rollout.evidence.calm_rate import calm_rates
from serve.rollout.evidence.event_series import EventSeries


def run(seconds: list[tuple[tuple[int, int], tuple[int, int]]], replicas: int = 1) -> EventSeries:
    """Return the series of these seconds, each the requests and the events of baseline and candidate."""
    now = event_series.begin()
    for requests, events in seconds:
        rates = calm_rates(now.usual_events, now.usual_requests)
        now = event_series.step(now, np.array(requests, float), np.array(events, float), rates, replicas)
    return now


CALM = ((50, 50), (1, 1))
STALL = ((50, 50), (1, 50))
SLOWER = ((50, 50), (1, 3))
OUTAGE = ((50, 50), (50, 50))


def test_what_is_calm_is_judged_to_the_last_event() -> None:
    """A minute without a stall counts each request and each event."""
    now = run([CALM] * 60)
    assert now.events.tolist() == [60, 60]
    assert now.requests.tolist() == [3000, 3000]


def test_a_stall_is_set_apart_and_named() -> None:
    """A total failure of ten seconds is one stall, and its events are not judged as a rate."""
    now = run([CALM] * 60 + [STALL] * 10 + [CALM] * 60)
    assert now.events[1] <= 120
    assert now.stalls.tolist() == [0, 1]
    events, lasted_s, variant = now.worst
    assert (variant, 10 <= lasted_s <= 12, 500 <= events <= 504) == (1, True, True)


def test_the_beginning_of_a_stall_belongs_to_it() -> None:
    """The seconds before a stall is noticed belong to it and are taken out of the rate."""
    now = run([((99, 1), (0, 0))] * 60 + [((99, 1), (0, 1))] * 10)
    assert now.events[1] == 0
    assert now.lasted[1] > 0


def test_a_higher_rate_is_no_stall() -> None:
    """Three times the errors at an even rate are no stall."""
    now = run([SLOWER] * 120)
    assert now.events.tolist() == [120, 360]
    assert now.stalls.sum() == 0


def test_a_twentieth_of_the_requests_is_no_stall() -> None:
    """Errors in 5 % of the requests are no stall, even if the calm rate was 0."""
    now = run([((80, 20), (0, 0))] * 60 + [((80, 20), (0, 1))] * 60)
    assert now.events.tolist() == [0, 60]
    assert now.stalls.sum() == 0


@pytest.mark.parametrize(("replicas", "stalls"), [(1, 0), (2, 0), (10, 1), (16, 1)])
def test_what_hits_one_of_many_replicas_is_a_stall(replicas: int, stalls: int) -> None:
    """Failures in a sixteenth of the requests are a stall if there are that many replicas."""
    calm, stall = ((320, 320), (0, 0)), ((320, 320), (0, 20))
    assert run([calm] * 60 + [stall] * 10 + [calm] * 60, replicas).stalls.tolist() == [0, stalls]


def test_a_stall_knows_the_requests_that_it_may_have_hit() -> None:
    """A stall has the number of its events and of the requests during it."""
    now = run([((50, 50), (0, 0))] * 60 + [((50, 50), (0, 25))] * 10)
    assert (now.burst.tolist(), now.hit.tolist()) == ([0, 250], [0, 500])


def test_what_was_stored_before_a_number_was_added_is_read() -> None:
    """A series that was stored without the newest numbers is read with zeros."""
    [numbers] = event_series.pack(EventSeries(*(part[None] for part in run([CALM] * 60 + [STALL] * 10))))
    older = event_series.unpack([numbers[:-2]])
    assert older.burst.tolist() == event_series.unpack([numbers]).burst.tolist()
    assert older.hit.tolist() == [[0, 0]]


def test_a_stall_that_hits_not_quite_all_is_one() -> None:
    """A minute in which three of four requests fail is one stall."""
    partly = [((99, 1), (0, int(second % 4 != 0))) for second in range(1, 61)]
    now = run([((99, 1), (0, 0))] * 60 + partly + [((99, 1), (0, 0))] * 30)
    assert now.stalls.tolist() == [0, 1]


def test_what_hits_both_at_once_is_nobodys_stall() -> None:
    """An outage of both variants is no stall."""
    now = run([CALM] * 60 + [OUTAGE] * 10 + [CALM] * 60)
    assert now.stalls.tolist() == [0, 0]
    assert now.events.tolist() == [now.events[0]] * 2


def test_a_stall_goes_on_until_it_is_calm_again() -> None:
    """A stall lasts until a calm second, and its seconds alone count while the baseline has none."""
    now = run([CALM] * 60 + [STALL] * 100)
    assert now.alone.tolist() == [0, 100]
    assert run([CALM] * 60 + [STALL] * 100 + [CALM] * 5).alone.tolist() == [0, 0]


def test_what_never_ends_is_the_rate_in_the_end() -> None:
    """After 15 minutes a stall becomes the new rate."""
    now = run([CALM] * 60 + [((50, 50), (25, 1))] * 1000)
    assert now.lasted.tolist() == [0, 0]
    assert now.events[0] > 25 * 50


def test_many_rollouts_go_on_as_one_does() -> None:
    """A series of four rollouts at once equals four single series."""
    rng = np.random.default_rng(3)
    requests = rng.poisson(20, (200, 4, 2)).astype(float)
    events = rng.binomial(requests.astype(int), np.where(rng.random((200, 4, 2)) < 0.05, 0.8, 0.02)).astype(
        float
    )
    many, single = event_series.begin(4), [event_series.begin() for _ in range(4)]
    for second in range(200):
        rates = calm_rates(many.usual_events, many.usual_requests)
        many = event_series.step(many, requests[second], events[second], rates)
        for place, one in enumerate(single):
            rates = calm_rates(one.usual_events, one.usual_requests)
            single[place] = event_series.step(one, requests[second, place], events[second, place], rates)
    for place, one in enumerate(single):
        for part, alone in zip(many, one, strict=True):
            assert part[place] == pytest.approx(alone)


def test_a_course_is_stored_in_numbers() -> None:
    """A series is the same after a round trip through a list of numbers."""
    now = run([CALM] * 70 + [STALL] * 7)
    numbers = event_series.pack(EventSeries(*(part[None] for part in now)))
    begun, again = (
        EventSeries(*(part[place] for part in event_series.unpack([(), *numbers]))) for place in (0, 1)
    )
    for part, other in zip(now, again, strict=True):
        assert part == pytest.approx(other, abs=1e-6)
    assert not any(part.any() for part in begun)


def test_a_course_goes_on_from_an_earlier_one() -> None:
    """A series continues an earlier one: its events count, and its snapshots are shifted by them."""
    earlier, now = run([CALM] * 100), run([CALM] * 70)
    both = event_series.add(now, earlier)
    assert both.events.tolist() == [170, 170]
    noted = both.snapshots[both.snapshots[..., 0] > 0]
    assert (both.events - noted[0, 1:3]).tolist() == (
        now.events - now.snapshots[now.snapshots[..., 0] > 0][0, 1:3]
    ).tolist()


def test_chance_makes_no_stall_in_the_variant_with_fewer_requests() -> None:
    """In 50 rollouts of 1,000 seconds with 2 % errors at 75 and 25 requests a second, no stall is found."""
    rng, now, requests = np.random.default_rng(7), event_series.begin(50), np.tile([75.0, 25.0], (50, 1))
    for _ in range(1000):
        rates = calm_rates(now.usual_events, now.usual_requests)
        now = event_series.step(now, requests, rng.poisson(0.02 * requests).astype(float), rates)
    assert now.stalls.sum() < 1
