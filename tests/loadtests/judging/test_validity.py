from typing import Any

import numpy as np
import pytest

from loadtests.candidate_comparison import Ratio
from loadtests.judging.aggregation import describe_sender
from loadtests.judging.contention import Contention
from loadtests.judging.limits import Limits
from loadtests.judging.validity import check_samples, check_sender, check_steady, check_twins
from loadtests.load_plan import LoadPlan, steady
from loadtests.load_verdict import Check, CheckOutcome
from loadtests.sending.samples import Samples
from tests.loadtests.samples import join, make_failed, make_measurement, make_samples


def _gate(name: str, samples: Samples, *, plan: Any = None, p99_ms: float | None = None, **run: Any) -> Check:
    """One gate of a sender's run; by default of a second in which as many came as were to be expected."""
    asked = {"url": "http://host", "model": "digits", "profile": steady(max(1, len(samples)), 1)}
    measured = make_measurement(samples, **run)
    gates = check_sender(
        LoadPlan.model_validate(asked | (plan or {})),
        Limits(p99_ms=p99_ms),
        describe_sender(measured),
        samples,
        complete=measured.complete,
        contention=measured.contention,
    )
    return next(gate for gate in gates if gate.name == name)


def _holds(check: Check) -> bool:
    assert check.kind == "gate"
    assert check.outcome in {CheckOutcome.PASS, CheckOutcome.INVALID}
    return check.outcome is CheckOutcome.PASS


@pytest.mark.parametrize(
    ("late_ms", "latency_ms", "p99_ms", "on_time"),
    [
        (1.9, 10, None, True),
        (2.1, 10, None, False),
        (4.9, 100, None, True),
        (5.1, 100, None, False),
        (7.9, 10, 80, True),
        (8.1, 10, 80, False),
    ],
)
def test_the_sender_is_on_time(
    late_ms: float, latency_ms: float, p99_ms: float | None, on_time: bool
) -> None:
    """The p99 of the lateness may be 2 ms, 5 % of the median or 10 % of the limit, whichever is most."""
    samples = make_samples([latency_ms] * 50, late_ms=late_ms)
    assert _holds(_gate("sender on time", samples, p99_ms=p99_ms)) == on_time


def test_a_sender_that_sent_nothing_was_not_on_time() -> None:
    """A sender without requests fails the gate."""
    assert not _holds(_gate("sender on time", make_samples([])))


@pytest.mark.parametrize(("cpu_s", "room"), [(0.69, True), (0.71, False)])
def test_the_sender_has_cpu_left(cpu_s: float, room: bool) -> None:
    """The sender may use up to 70 % of its core."""
    check = _gate("sender's CPU", make_samples([1]), cpu_s=cpu_s)
    assert _holds(check) == room
    assert check.used == pytest.approx(cpu_s / 0.7)


@pytest.mark.parametrize(("pool_full", "room"), [(0, True), (1, False)])
def test_there_was_room_for_every_request(pool_full: int, room: bool) -> None:
    """The gate fails if a request had to wait for room."""
    assert _holds(_gate("room in flight", make_samples([1]), pool_full=pool_full)) == room


@pytest.mark.parametrize(("sent", "good"), [(1094, True), (906, True), (1096, False), (904, False)])
def test_arrivals_are_as_the_rate_says(sent: int, good: bool) -> None:
    """The number of arrivals may differ from the rate by three Poisson deviations."""
    plan = {"profile": steady(1000, 1)}
    assert _holds(_gate("arrivals", make_samples(np.ones(sent)), plan=plan)) == good


@pytest.mark.parametrize(("sent", "good"), [(998, True), (997, False)])
def test_even_arrivals_are_exact(sent: int, good: bool) -> None:
    """The number of evenly spaced arrivals must be exact, except at the ends."""
    plan = {"profile": steady(1000, 1), "arrivals": "constant"}
    assert _holds(_gate("arrivals", make_samples(np.ones(sent)), plan=plan)) == good


def test_a_run_ended_early_is_not_off_schedule() -> None:
    """A run that ended early has no gate for its arrivals."""
    with pytest.raises(StopIteration):
        _gate("arrivals", make_samples([1]), complete=False)


@pytest.mark.parametrize(("q", "answers", "good"), [(0.99, 1000, True), (0.99, 999, False), (0.5, 20, True)])
def test_a_quantile_needs_ten_answers_beyond_it(q: float, answers: int, good: bool) -> None:
    """Each variant needs ten answers beyond the quantile; errors do not count as answers."""
    few = join(make_samples(np.ones(answers)), make_failed(500))
    check = check_samples({"fp32": make_samples(np.ones(5000)), "int8": few}, q)
    assert _holds(check) == good


def test_no_variant_is_not_enough() -> None:
    """Without variants there are not enough samples."""
    assert not _holds(check_samples({}, 0.5))


def _thirds(*medians_ms: float, spread: float = 0.1, n: int = 300) -> Samples:
    """A run of three seconds, each with a median of its own."""
    rng = np.random.default_rng(0)
    return join(
        *[
            make_samples(median * rng.lognormal(0, spread, n), at_s=second + np.arange(n) / n)
            for second, median in enumerate(medians_ms)
        ]
    )


@pytest.mark.parametrize(
    ("medians_ms", "good"), [((10, 10, 10), True), ((10, 11, 12), True), ((10, 10, 13), False)]
)
def test_a_steady_run_has_one_median(medians_ms: tuple[float, ...], good: bool) -> None:
    """The medians of the run's thirds may differ by a quarter."""
    assert _holds(check_steady(_thirds(*medians_ms), 3)) == good


def test_what_chance_explains_is_steady() -> None:
    """With a dozen answers per third and wide noise, medians of 10 and 13 ms are steady."""
    assert _holds(check_steady(_thirds(10, 10, 13, spread=1.1, n=12), 3))


@pytest.mark.parametrize(
    ("low", "high", "good"), [(0.98, 1.01, True), (1.001, 1.02, False), (0.9, 0.99, False)]
)
def test_the_baseline_is_like_itself(low: float, high: float, good: bool) -> None:
    """The interval between two halves of the baseline must contain 1."""
    assert _holds(check_twins(Ratio(figure="p50", value=1, low=low, high=high))) == good


def test_a_baseline_that_cannot_be_halved_is_not_like_itself() -> None:
    """A baseline that is too short to be halved fails the gate."""
    assert not _holds(check_twins(None))


def test_an_unsteady_run_of_mixed_variants_is_a_caveat() -> None:
    """An unsteady run is a caveat if variants are mixed at random, and a gate otherwise."""
    thirds = [
        make_samples([ms] * 100, at_s=np.linspace(start, start + 9, 100))
        for start, ms in ((0, 5), (10, 9), (20, 30))
    ]
    alone, mixed = (check_steady(join(*thirds), 30, mixed=mixed) for mixed in (False, True))
    assert (alone.kind, alone.outcome) == ("gate", CheckOutcome.INVALID)
    assert (mixed.kind, mixed.outcome) == ("caveat", CheckOutcome.INVALID)
    assert "not the comparison" in mixed.wanted


_BUSY = Contention(load_average=7.6, queued=0.31)


@pytest.mark.parametrize(
    ("contention", "cpu_s", "blamed"),
    [
        (_BUSY, 0.1, True),
        (Contention(load_average=99, queued=None), 0.1, True),
        # A sender that needs this much CPU time is itself the cause.
        (_BUSY, 0.9, False),
        # The load average is high because of programs that did not slow the sender down.
        (Contention(load_average=99, queued=0.001), 0.1, False),
        (Contention(load_average=None, queued=None), 0.1, False),
        (None, 0.1, False),
    ],
    ids=str,
)
def test_a_sender_that_others_made_late_says_so(
    contention: Contention | None, cpu_s: float, blamed: bool
) -> None:
    """If other programs delayed the sender, the message says so and does not ask for a lower rate."""
    check = _gate("sender on time", make_samples([10] * 50, late_ms=9), cpu_s=cpu_s, contention=contention)
    assert not _holds(check)
    assert ("other programs" in check.wanted) == blamed
    assert ("lower the rate" in check.wanted) != blamed


def test_contention_is_told_in_figures() -> None:
    """The message has the load average and the share of time in the run queue."""
    check = _gate("sender on time", make_samples([10] * 50, late_ms=9), contention=_BUSY)
    assert "the load average was 7.6 on " in check.wanted
    assert "run queue for 31% of the time" in check.wanted
