"""What happens while the candidate has all traffic."""

import pytest

from serve.base.errors import RefusedAction
from serve.rollout.api_records import ActRequest, RoutesRequest
from serve.rollout.replay import replay
from serve.rollout.state.policy import ShadowPolicy
from serve.rollout.state.rollout import Phase
from tests.serve.rollout.local_keeper import POLICY, VERSIONS, Gateway, LocalKeeper, turn

SKIP = POLICY.model_copy(update={"shadow": ShadowPolicy(skip=True)})


@pytest.fixture
def watched(keeping: LocalKeeper, gateway: Gateway) -> LocalKeeper:
    """A keeper whose rollout has just given the candidate all traffic."""
    keeping.start(SKIP)
    while not keeping.rollout.watched:
        turn(keeping, gateway)
    gateway.report(keeping)
    return keeping


def test_at_the_last_step_both_still_answer(keeping: LocalKeeper, gateway: Gateway) -> None:
    """At the last step the baseline has 5 %, and a candidate that fails there is rolled back."""
    keeping.start(SKIP)
    while keeping.place != (Phase.STEP, 3):
        turn(keeping, gateway)
    assert keeping.routes.share("fp32") == pytest.approx(0.05)
    for _ in range(300):
        turn(keeping, gateway, 200, errors=(0, 190))
        if keeping.rollout.phase.over:
            break
    assert keeping.place == (Phase.ROLLED_BACK, 3)
    assert keeping.rollout.reason.startswith("harm shown at 95 % of the traffic: ")


def test_failing_with_all_traffic_rolls_back_to_the_former_baseline(
    watched: LocalKeeper, gateway: Gateway
) -> None:
    """A candidate that fails in the watch is rolled back within five minutes, and a replay finds no fault."""
    for _ in range(300):
        turn(watched, gateway, 200, errors=(0, 200))
        if watched.rollout.phase.over:
            break
    assert watched.place == (Phase.ROLLED_BACK, 3)
    assert watched.routes.weights == {"fp32": 1.0, "int8": 0.0}
    assert "harm shown at 100 % of the traffic: errors: " in watched.rollout.reason
    assert replay(watched.store.trail("digits"), watched.rollout.rollout, watched.store.key).faults == ()


def test_a_watch_without_harm_ends_the_rollout(watched: LocalKeeper) -> None:
    """A watch without harm ends in DONE after its time, even without traffic."""
    watched.tick(3599)
    assert watched.place == (Phase.WATCHING, 3)
    assert watched.state.watch is not None
    watched.tick(1)
    assert watched.place == (Phase.DONE, 3)
    assert watched.rollout.reason.startswith("at 100 % of the traffic: watched for 3,600 of 3,600 s; ")
    assert watched.routes.weights == {"fp32": 0.0, "int8": 1.0}
    assert watched.state.watch is None


def test_the_watch_goes_on_after_a_keeper_was_killed(watched: LocalKeeper, gateway: Gateway) -> None:
    """After a restart the watch continues with its evidence."""
    for _ in range(20):
        turn(watched, gateway, 100, errors=(0, 5))
    lately = watched.state.present.evidence.lately
    another = watched.killed()
    try:
        assert another.place == (Phase.WATCHING, 3)
        assert another.state.present.evidence.lately == lately
        assert sum(stretch.errors for stretch in lately) >= 95
    finally:
        another.kill()


def test_a_clock_that_is_set_ahead_is_no_watch(watched: LocalKeeper) -> None:
    """After a restart with a clock two hours ahead, the watch lasts for the time that was left."""
    watched.tick(600)
    watched.clock.set_s = 7200
    another = watched.killed()
    try:
        another.tick()
        another.tick(2998)
        assert (another.place, another.controller.acts) == ((Phase.WATCHING, 3), True)
        another.tick(1)
        assert another.place == (Phase.DONE, 3)
        assert another.rollout.reason.startswith("at 100 % of the traffic: watched for 3,600 of 3,600 s; ")
        assert replay(another.store.trail("digits"), another.rollout.rollout, another.store.key).faults == ()
    finally:
        another.kill()


def test_time_in_which_nobody_judged_is_no_watch(watched: LocalKeeper) -> None:
    """Time in which no keeper judged does not count towards the watch."""
    watched.tick(600)
    watched.clock.now_s += 40_000
    another = watched.killed()
    try:
        another.tick()
        another.tick(2998)
        assert another.place == (Phase.WATCHING, 3)
    finally:
        another.kill()


def test_who_aborts_the_watch_gets_the_former_baseline(watched: LocalKeeper) -> None:
    """An abort during the watch gives all traffic to the former baseline."""
    watched.commands.act(watched.rollout.rollout, "abort", ActRequest(), "bob")
    assert (watched.place, watched.routes.share("fp32")) == ((Phase.ROLLED_BACK, 3), 1.0)


def test_nobody_waits_for_the_watch_to_set_routes(watched: LocalKeeper) -> None:
    """Setting routes ends the watch, and the trail says who did it and why."""
    watched.commands.set_routes("digits", RoutesRequest(weights={"fp32": 1, "int8": 1}), "bob")
    assert (watched.rollout.phase, watched.rollout.by) == (Phase.DONE, "bob")
    assert watched.rollout.reason == "the watch ended because routes were set"
    assert watched.routes.share("int8") == 0.5
    assert replay(watched.store.trail("digits"), watched.rollout.rollout, watched.store.key).faults == ()


def test_the_next_rollout_does_not_end_the_watch(watched: LocalKeeper) -> None:
    """A rollout during the watch is refused; the error gives the command to accept the candidate."""
    with pytest.raises(
        RefusedAction, match=r"make 'int8' the baseline, .*: counterweight rollout accept digits"
    ):
        watched.start(SKIP, candidate="slim")
    assert watched.rollout.watched


def test_after_the_watch_the_next_rollout_asks_for_a_baseline(watched: LocalKeeper) -> None:
    """A rollout after the watch is refused until a baseline is chosen; the error gives the commands."""
    watched.promote()
    with pytest.raises(
        RefusedAction,
        match=r"rollout accept digits; or set the routes first: .* --set fp32=100,int8=0 --yes$",
    ):
        watched.start(SKIP, candidate="slim")


def test_a_watch_does_not_end_in_the_old_model_when_something_is_loaded(watched: LocalKeeper) -> None:
    """A new version of the old baseline ends the watch, and the candidate keeps the traffic."""
    watched.controller.settle("digits", "fp32", VERSIONS | {"fp32": "d" * 64}, None)
    assert (watched.rollout.phase, watched.rollout.by) == (Phase.DONE, "keeper")
    assert watched.routes.share("int8") == 1.0


def test_a_watched_version_that_is_replaced_loses_the_traffic(watched: LocalKeeper) -> None:
    """If another version of the watched candidate is loaded, the baseline gets the traffic."""
    watched.controller.settle("digits", "fp32", VERSIONS | {"int8": "d" * 64}, None)
    assert (watched.rollout.phase, watched.rollout.by) == (Phase.ROLLED_BACK, "keeper")
    assert watched.rollout.reason == "another version of int8 was loaded than the evidence is about"
    assert watched.routes.share("fp32") == 1.0
    assert replay(watched.store.trail("digits"), watched.rollout.rollout, watched.store.key).faults == ()


def test_failing_as_the_watch_ends_does_not_end_it(watched: LocalKeeper, gateway: Gateway) -> None:
    """Errors in the last seconds of the watch extend it, and it ends in a rollback."""
    watched.tick(3594)
    for _ in range(8):
        turn(watched, gateway, 50, errors=(0, 50))
    assert watched.rollout.watched
    verdict, _ = watched.state.judged or pytest.fail("nothing was judged")
    assert "; errors: " in verdict.reason
    for _ in range(300):
        turn(watched, gateway, 50, errors=(0, 50))
        if watched.rollout.phase.over:
            break
    assert watched.place == (Phase.ROLLED_BACK, 3)
