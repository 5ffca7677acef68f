import numpy as np
import pytest

from serve.rollout.evidence.evidence import Events, Evidence, Pair, Segment
from serve.rollout.judging.judge import find
from serve.rollout.judging.weigh import Tick, Weighing, weigh
from serve.rollout.state.policy import ErrorGuard, Guards, LatencyGuard, Policy, ShadowPolicy
from tests.serve.rollout.rollouts import at_step


def drawn(errors: tuple[float, float], over: tuple[float, float], seed: int = 7) -> tuple[Tick, ...]:
    """Return ten minutes of 100 requests a second, half of them for each variant, with these rates."""
    random = np.random.default_rng(seed)
    candidate = random.binomial(100, 0.5, 600)
    counts = []
    for share, requests in ((0, 100 - candidate), (1, candidate)):
        counts += [
            requests,
            random.binomial(requests, errors[share]),
            random.binomial(requests, over[share]),
        ]
    return tuple(tuple(row) for row in np.stack(counts, 1).tolist())


def weighing(ticks: tuple[Tick, ...], share: float = 0.5) -> Weighing:
    return Weighing(share=share, ticks=ticks)


def test_it_finds_what_a_rollout_finds() -> None:
    """The figures equal those of a rollout without a shadow over the same ticks, except for stalls."""
    ticks = drawn((0.01, 0.02), (0.02, 0.01))
    evidence = Evidence()
    for second, (a, a_errors, a_over, b, b_errors, b_over) in enumerate(ticks):
        tick = Segment(
            step=1,
            split=0.5,
            started_s=second,
            ended_s=second + 1,
            requests=Pair(baseline=a, candidate=b),
            errors=Events.tick(a_errors, b_errors),
            over_limit=Events.tick(a_over, b_over),
        )
        whole = tick if not evidence.segments else evidence.segments[0] + tick
        evidence = Evidence(segments=(whole,))
    policy = Policy(shadow=ShadowPolicy(skip=True), guards=Guards(latency=LatencyGuard(limit_ms=50)))
    errors, latency, *_, split = find(at_step(1, policy), evidence)
    weighed = weigh(weighing(ticks)).figures
    apart = {"harm_at", "harm", "safe"}
    assert weighed[0] == errors.model_copy(update={"harm_at": weighed[0].harm_at})
    assert weighed[1].model_dump(exclude=apart) == latency.model_dump(exclude=apart)
    assert weighed[2] == split


def test_harm_is_shown() -> None:
    """Three times the errors and ten times the late requests are harm, and the estimate is within 20 %."""
    errors, latency, split = weigh(weighing(drawn((0.01, 0.03), (0.01, 0.1)))).figures
    assert errors.harmful
    assert latency.harmful
    assert not split.harmful
    assert errors.estimate == pytest.approx(3, rel=0.2)
    assert errors.seen.startswith("916 of 30,050 (3.05%) against 336 of 29,950 (1.12%) of the baseline's")


def test_safety_is_shown() -> None:
    """Without errors and with 0.1 % late requests, safety is shown."""
    errors, latency, _ = weigh(weighing(drawn((0, 0), (0.001, 0.001)))).figures
    assert errors.proven
    assert latency.proven


def test_requests_that_were_not_drawn_as_said_show() -> None:
    """A share of 0.5 where 0.1 was asked for is shown as harm of the split."""
    assert weigh(weighing(drawn((0, 0), (0, 0)), share=0.1)).figures[2].harmful


def test_nothing_shows_nothing() -> None:
    """Without ticks neither harm nor safety is shown."""
    figures = weigh(weighing(())).figures
    assert not any(figure.harmful or figure.proven for figure in figures)


def test_the_largest_ratios_can_be_asked() -> None:
    """Very large limits on the ratio are computed without an overflow."""
    guard = ErrorGuard(harm=9e8, tolerance=1e9)
    asked = Weighing(share=0.999, errors=guard, ticks=drawn((0.5, 0.5), (0, 0)))
    assert weigh(asked).figures[0].proven


def test_events_come_as_often_tick_by_tick_or_at_once() -> None:
    """Two ticks added at once equal one tick after the other."""
    assert Events.ticks([(1, 2), (0, 3)]) == Events.tick(1, 2) + Events.tick(0, 3)


@pytest.mark.parametrize(
    "tick", [(1, 2, 0, 0, 0, 0), (1, 0, 2, 0, 0, 0), (0, 0, 0, 1, 2, 0), (0, 0, 0, 1, 0, 2)]
)
def test_more_events_than_requests_cannot_be(tick: Tick) -> None:
    """A tick with more events than requests is refused with its number."""
    with pytest.raises(
        ValueError, match=r"ticks\.1: .* has more errors, or more over the limit, than requests"
    ):
        weighing(((5, 0, 0, 5, 0, 0), tick))
