"""The latency limits of a running rollout."""

from copy import deepcopy

import pytest

from serve.counting.tally import EDGES_MS, Tally, VariantLoad
from serve.rollout.api_records import ActRequest
from serve.rollout.replay import replay
from serve.rollout.state.policy import Guards, LatencyGuard, ShadowPolicy
from serve.rollout.trail.trail import Action
from tests.serve.rollout.local_keeper import POLICY, LocalKeeper

UNNAMED = POLICY.model_copy(update={"guards": Guards(latency=LatencyGuard(times_baseline=2))})
SKIP = UNNAMED.model_copy(update={"shadow": ShadowPolicy(skip=True)})


class Baseline:
    """A baseline with set latencies, and its totals."""

    def __init__(self, keeping: LocalKeeper) -> None:
        self._keeping = keeping
        self._tally = Tally()

    def serve(self, seconds: int, ms: float) -> None:
        """Serve 100 requests a second for `seconds`."""
        for _ in range(0, seconds, 5):
            for _ in range(500):
                self._tally.latency.record(ms)
            self._keeping.clock.now_s += 5
            loads = {
                ("digits", "fp32"): VariantLoad(tally=deepcopy(self._tally), in_flight=0, waiting_rows=0)
            }
            self._keeping.timeline.note(self._keeping.clock.now_s, loads)
            self._keeping.tick(0)


def edge(latency_ms: float) -> float:
    """Return the upper edge of the duration's bucket."""
    return min(edge for edge in EDGES_MS if edge >= latency_ms)


def announced(keeping: LocalKeeper) -> tuple[float | None, ...]:
    """Return the latency limits that gateways get."""
    watch = keeping.state.watch
    assert watch is not None
    return watch.quantile_limits_ms


def test_the_limit_that_stays_is_fixed_once(keeping: LocalKeeper) -> None:
    """The fixed limit is set once, after a steady past, and does not change later."""
    keeping.start(UNNAMED)
    baseline = Baseline(keeping)
    baseline.serve(120, 10.0)
    assert keeping.rollout.limit_ms is None
    baseline.serve(90, 10.0)
    assert keeping.rollout.limit_ms == pytest.approx(2 * edge(10))
    assert keeping.rollout.steady_ms == (edge(10),) * 3
    baseline.serve(600, 90.0)
    assert keeping.rollout.limit_ms == pytest.approx(2 * edge(10))
    trail = keeping.store.trail("digits")
    assert [entry.change.action for entry in trail].count(Action.LIMIT) == 1
    assert replay(trail, keeping.rollout.rollout, keeping.store.key).faults == ()


def test_an_incident_before_the_start_is_in_no_limit(keeping: LocalKeeper) -> None:
    """Twelve slow seconds in ten minutes before the start have no effect on the limits."""
    baseline = Baseline(keeping)
    baseline.serve(300, 10.0)
    baseline.serve(12, 3000.0)
    baseline.serve(288, 10.0)
    keeping.start(SKIP)
    assert keeping.rollout.limit_ms == pytest.approx(2 * edge(10))
    keeping.tick()
    assert list(announced(keeping)) == [pytest.approx(2 * edge(10))] * 3


def test_once_a_user_has_seen_the_candidate_no_limit_is_fixed(keeping: LocalKeeper) -> None:
    """No fixed limit is set after the shadow phase."""
    keeping.start(SKIP)
    Baseline(keeping).serve(600, 10.0)
    assert (keeping.rollout.limit_ms, keeping.rollout.steady_ms) == (None, (None, None, None))


def test_the_limits_that_follow_the_baseline_are_announced(keeping: LocalKeeper) -> None:
    """The moving limits follow the baseline after a minute, without new routes."""
    keeping.start(SKIP)
    revision = keeping.routes.revision
    assert announced(keeping) == (None, None, None)
    baseline = Baseline(keeping)
    baseline.serve(15, 10.0)
    assert list(announced(keeping)) == [pytest.approx(2 * edge(10))] * 3
    baseline.serve(50, 30.0)
    assert announced(keeping)[0] == pytest.approx(2 * edge(10))
    baseline.serve(20, 30.0)
    assert announced(keeping)[0] == pytest.approx(2 * edge(30))
    assert keeping.routes.revision == revision


def test_another_step_has_other_limits_at_once(keeping: LocalKeeper) -> None:
    """The limits are unknown after a change of step, because the baseline's load has changed."""
    keeping.start(SKIP)
    Baseline(keeping).serve(15, 10.0)
    assert None not in announced(keeping)
    for _ in range(2):
        keeping.promote()
    keeping.tick()
    assert keeping.rollout.share == 0.95
    assert announced(keeping) == (None, None, None)


def test_the_next_rollout_begins_without_limits(keeping: LocalKeeper) -> None:
    """A new rollout starts without limits."""
    first = keeping.start(SKIP)
    Baseline(keeping).serve(15, 10.0)
    keeping.commands.act(first.rollout.rollout, "abort", ActRequest(), "ann")
    keeping.start(SKIP)
    assert announced(keeping) == (None, None, None)
