from typing import Any

import numpy as np
import pytest

from loadtests.capacity_record import Probe
from loadtests.judging.checks import OVER_LIMIT
from loadtests.judging.confidence import bound_rate
from loadtests.judging.limits import Limits
from loadtests.judging.probe import ALPHA, PROOF_REQUESTS, StopRule, judge_probe
from loadtests.judging.search import RateTrial
from loadtests.load_plan import LoadPlan, steady
from loadtests.load_verdict import CheckOutcome
from loadtests.sending.live_counters import LiveCounters
from loadtests.sending.measurement import Measurement
from loadtests.sending.samples import Samples
from tests.loadtests.samples import join, make_failed, make_measurement, make_samples, make_unanswered

_LIMITS = Limits(p99_ms=50, errors=0.01)
_RATE, _SENT_S = 100, 10


def _steady(latency_ms: float, n: int = _RATE * _SENT_S, **changes: Any) -> Samples:
    """Ten seconds of answers that all took so long."""
    return make_samples(np.full(n, latency_ms), at_s=np.arange(n) * _SENT_S / n, **changes)


def _run(samples: Samples, **changes: Any) -> Measurement:
    return make_measurement(samples, **({"sent_until_s": _SENT_S, "wall_s": _SENT_S} | changes))


def _judge(samples: Samples, stage: Any = "search", **changes: Any) -> Probe:
    plan = LoadPlan.model_validate(
        {
            "url": "http://host",
            "model": "digits",
            "profile": steady(_RATE, 60),
            "pinned": ("fp32",),
            "seed": 7,
        }
    )
    trial = RateTrial(stage=stage, rate_per_s=_RATE)
    return judge_probe(trial, plan, _LIMITS, _run(samples, **changes))


def test_a_probe_says_what_was_tried_and_what_came_of_it() -> None:
    """A probe has its rate, seed, duration, counts and quantiles, without the warm-up."""
    warmup = make_samples(np.full(100, 500.0), at_s=np.linspace(-1, -0.01, 100))
    probe = _judge(join(warmup, _steady(8)))
    assert (probe.variant, probe.rate_per_s, probe.seed, probe.duration_s) == ("fp32", 100, 7, 10)
    assert (probe.requests, probe.errors, probe.completed) == (1000, 0, 1)
    assert (probe.p50_ms, probe.p99_ms) == pytest.approx((8, 8))
    assert probe.outcome is CheckOutcome.PASS


def test_a_search_passes_what_shows_nothing_bad() -> None:
    """Five of 1,000 over the limit pass a search and fail a confirmation, as they prove nothing."""
    samples = join(_steady(8, 995), _steady(60, 5))
    searched, confirmed = _judge(samples), _judge(samples, "confirm")
    assert (searched.outcome, searched.reason) == (CheckOutcome.PASS, "0.50% over 50 ms, not yet proven")
    assert (confirmed.outcome, confirmed.reason) == (
        CheckOutcome.FAIL,
        "not shown to be good: 0.50% over 50 ms",
    )


def test_a_confirmation_passes_what_is_proven() -> None:
    """Two of 4,000 over the limit pass a confirmation."""
    probe = _judge(join(_steady(8, 3998), _steady(60, 2)), "confirm")
    assert (probe.outcome, probe.reason) == (CheckOutcome.PASS, "0.05% over 50 ms")


def test_half_of_the_requests_of_a_confirmation_are_a_proof() -> None:
    """Half of a confirmation's requests without a late one prove the limit."""
    assert (bound_rate(0, PROOF_REQUESTS // 2, ALPHA).high or 1) <= OVER_LIMIT


def test_a_stall_fails() -> None:
    """A stall of half a second in ten fails the probe."""
    came = np.arange(1000) / 100
    waits = np.where((came >= 5) & (came < 5.5), (5.5 - came) * 1000, 8)
    probe = _judge(make_samples(waits, at_s=came))
    assert (probe.outcome, probe.reason) == (CheckOutcome.FAIL, "4.50% over 50 ms, 1% allowed")


def test_answers_that_pile_up_fail() -> None:
    """A server that serves 95 of 100 requests a second fails, even if none is over the limit yet."""
    came = np.arange(1000) / 100
    done = (np.arange(1000) + 1) / 95
    limits = Limits(p99_ms=1000)
    plan = LoadPlan(url="http://host", model="digits", profile=steady(100, 60))
    run = _run(make_samples((done - came) * 1000, at_s=came))
    probe = judge_probe(RateTrial(stage="search", rate_per_s=100), plan, limits, run)
    assert probe.outcome is CheckOutcome.FAIL
    assert probe.reason.startswith("answers pile up: 95.0% of the arrivals")
    assert probe.completed == pytest.approx(0.95)


def test_what_was_never_answered_is_over_the_limit() -> None:
    """A request without an answer counts as over the limit and as an error."""
    probe = _judge(join(_steady(8, 950), make_unanswered(np.full(50, 10_000), at_s=np.full(50, 9.0))))
    assert (probe.outcome, probe.errors, probe.over_limit.value) == (CheckOutcome.FAIL, 50, 0.05)


def test_errors_fail_with_their_first_cause() -> None:
    """The reason of too many errors gives the most frequent cause."""
    at_s = np.linspace(0, 9.9, 40)
    samples = join(_steady(8, 940), make_failed(40, "reset", at_s=at_s), make_failed(20, at_s=at_s[:20]))
    probe = _judge(samples)
    assert (probe.outcome, probe.reason) == (CheckOutcome.FAIL, "6.00% errors, 1.00% allowed: reset")


def test_a_late_sender_is_invalid() -> None:
    """A probe whose requests were sent 60 ms late is INVALID."""
    probe = _judge(_steady(68, late_ms=60))
    assert (probe.outcome, probe.reason) == (
        CheckOutcome.INVALID,
        "sender on time: p99 of its lateness 60.00 ms",
    )


def test_a_late_sender_does_not_excuse_a_slow_server() -> None:
    """A probe fails if the server takes 90 ms from the moment of sending where 50 are allowed."""
    probe = _judge(_steady(150, late_ms=60))
    assert (probe.outcome, probe.reason) == (CheckOutcome.FAIL, "100.00% over 50 ms, 1% allowed")


@pytest.mark.parametrize(
    ("steal", "outcome"),
    [(None, CheckOutcome.FAIL), (0.05, CheckOutcome.FAIL), (0.3, CheckOutcome.INVALID)],
    ids=["unknown", "little", "much"],
)
def test_a_rate_that_fails_while_others_have_the_cpu_is_invalid(
    steal: float | None, outcome: CheckOutcome
) -> None:
    """A failed probe is INVALID if others used the CPU, and keeps its reason."""
    probe = _judge(_steady(150), steal=steal)
    assert probe.outcome is outcome
    assert probe.reason.endswith("100.00% over 50 ms, 1% allowed")


def test_a_rate_that_passes_while_others_have_the_cpu_passes() -> None:
    """A rate that passes despite steal passes, since it would also pass without."""
    assert _judge(_steady(8), steal=0.3).outcome is CheckOutcome.PASS


def test_a_sender_without_cpu_is_invalid_whatever_it_read() -> None:
    """A probe whose sender used 90 % of its core is INVALID, whatever it measured."""
    probe = _judge(_steady(150), cpu_s=9.0)
    assert (probe.outcome, probe.reason) == (CheckOutcome.INVALID, "sender's CPU: 90% of its core")


def test_errors_are_no_matter_of_lateness() -> None:
    """Errors fail a probe even if the sender was late."""
    samples = join(_steady(8, 900, late_ms=7), make_failed(100, at_s=np.linspace(0, 9.9, 100)))
    assert _judge(samples, cpu_s=9.0).outcome is CheckOutcome.FAIL


def _live(done: int, *, over_limit: int = 0, errors: int = 0) -> LiveCounters:
    return LiveCounters(limit_ms=50, done=done, over_limit=over_limit, errors=errors)


@pytest.mark.parametrize(
    ("stage", "live", "now_s", "enough"),
    [
        ("search", _live(400, over_limit=200), 4.9, False),
        ("search", _live(500, over_limit=200), 5.0, True),
        ("search", _live(500, errors=200), 5.0, True),
        ("search", _live(500), 5.0, True),
        ("search", _live(500, over_limit=1), 5.0, False),
        ("search", _live(500, errors=1), 5.0, False),
        ("search", _live(1000, over_limit=5), 10.0, True),
        ("search", _live(1000, over_limit=15), 10.0, False),
        ("search", _live(1000, errors=15), 10.0, False),
        ("confirm", _live(1000, over_limit=5), 10.0, False),
        ("confirm", _live(2000), 20.0, True),
        ("confirm", _live(2000, over_limit=200), 5.0, True),
    ],
    ids=[
        "too short to see a queue grow",
        "too slow",
        "too many errors",
        "nothing at all in 5 s of a search",
        "one was late",
        "one failed",
        "nothing bad in 10 s of a search",
        "more than allowed, not proven",
        "more errors than allowed, not proven",
        "a confirmation wants proof",
        "proven good",
        "proven bad",
    ],
)
def test_a_probe_ends_when_it_is_known(stage: str, live: LiveCounters, now_s: float, enough: bool) -> None:
    """The rule stops a probe as soon as its outcome is known, and not before."""
    assert StopRule(limits=_LIMITS, stage=stage)(live, now_s) == enough


def test_what_hangs_is_over_the_limit_already() -> None:
    """Unanswered requests beyond the limit stop the probe."""
    live = _live(400)
    live.open.update({number: (5 + number / 100, 5 + number / 100, "fp32") for number in range(100)})
    assert StopRule(limits=_LIMITS, stage="search")(live, 6.5)
