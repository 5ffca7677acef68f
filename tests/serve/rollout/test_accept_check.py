"""How the promoted candidate of a rollout becomes the baseline."""

from typing import Any

import pytest

from serve.base.errors import RefusedAction
from serve.rollout.api_records import ActRequest, RolloutView, RoutesRequest
from serve.rollout.state.policy import Policy
from serve.rollout.state.rollout import Phase
from tests.serve.rollout.local_keeper import POLICY, VERSIONS, LocalKeeper

AT_ONCE = POLICY.model_copy(update={"on_done": "become_baseline"})


def won(keeping: LocalKeeper, policy: Policy = POLICY, candidate: str = "int8") -> LocalKeeper:
    """Promote a rollout to its end and return its keeper."""
    keeping.start(policy, candidate)
    while not keeping.rollout.phase.over:
        keeping.promote()
    return keeping


def accept(keeping: LocalKeeper, **wanted: Any) -> RolloutView:
    """Accept the candidate as bob."""
    return keeping.commands.act(keeping.rollout.rollout, "accept", ActRequest(**wanted), "bob")


def test_who_won_is_the_baseline_once_somebody_says_so(keeping: LocalKeeper) -> None:
    """An accepted candidate becomes the baseline and keeps the traffic."""
    assert won(keeping).routes.baseline == "fp32"
    view = accept(keeping)
    assert (view.rollout.phase, view.rollout.accepted, view.rollout.by) == (Phase.DONE, True, "bob")
    assert (view.routes.baseline, view.routes.weights) == ("int8", {"fp32": 0.0, "int8": 1.0})


def test_who_is_watched_is_the_baseline_as_soon_as_somebody_says_so(keeping: LocalKeeper) -> None:
    """Accepting a watched candidate ends the watch."""
    keeping.start(POLICY)
    while keeping.rollout.phase is not Phase.WATCHING:
        keeping.promote()
    view = accept(keeping)
    assert (view.rollout.phase, view.routes.baseline, keeping.state.running) == (Phase.DONE, "int8", None)


def test_the_next_rollout_starts_there(keeping: LocalKeeper) -> None:
    """The next rollout starts from the accepted baseline."""
    accept(won(keeping))
    plan = keeping.start(candidate="slim").rollout.plan
    assert (plan.baseline, plan.candidate) == ("int8", "slim")


def test_the_old_baseline_can_be_a_candidate(keeping: LocalKeeper) -> None:
    """The former baseline can be a candidate, and be accepted again."""
    accept(won(keeping))
    accept(won(keeping, candidate="fp32"))
    assert (keeping.routes.baseline, keeping.state.baseline) == ("fp32", "fp32")


def test_a_new_baseline_outlives_the_keeper(keeping: LocalKeeper) -> None:
    """The accepted baseline is kept after a restart."""
    accept(won(keeping))
    keeping = keeping.killed()
    try:
        assert (keeping.state.baseline, keeping.routes.baseline) == ("int8", "int8")
        assert keeping.start(candidate="slim").rollout.plan.baseline == "int8"
    finally:
        keeping.kill()


def test_a_rollout_after_it_leaves_the_baseline_as_it_is(keeping: LocalKeeper) -> None:
    """A later rollout keeps the accepted baseline when it is aborted."""
    accept(won(keeping))
    keeping.start(candidate="slim")
    keeping.commands.act(keeping.rollout.rollout, "abort", ActRequest(), "bob")
    assert (keeping.routes.baseline, keeping.routes.share("int8")) == ("int8", 1.0)


def test_a_baseline_that_is_gone_is_replaced_by_the_repositorys(keeping: LocalKeeper) -> None:
    """If the accepted baseline is unloaded, the repository's replaces it until it is loaded again."""
    accept(won(keeping))
    left = {name: digest for name, digest in VERSIONS.items() if name != "int8"}
    keeping.controller.settle("digits", "fp32", left, None)
    assert (keeping.routes.baseline, keeping.routes.share("fp32")) == ("fp32", 1.0)
    keeping.controller.settle("digits", "fp32", VERSIONS, None)
    assert (keeping.routes.baseline, keeping.routes.share("fp32")) == ("int8", 1.0)


def test_a_policy_can_say_it_beforehand(keeping: LocalKeeper) -> None:
    """With `on_done: become_baseline`, nobody has to accept the candidate."""
    won(keeping, AT_ONCE)
    assert (keeping.rollout.accepted, keeping.routes.baseline) == (True, "int8")
    with pytest.raises(RefusedAction, match=r"rollout .* has already made 'int8' the baseline"):
        accept(keeping)


def test_a_rollout_that_did_not_win_is_refused(keeping: LocalKeeper) -> None:
    """Accepting before DONE is refused, and the error names the phase."""
    keeping.start()
    with pytest.raises(RefusedAction, match=r"cannot accept rollout .* in phase SHADOW; "):
        accept(keeping)


def test_a_version_that_did_not_win_gets_nothing_by_its_name(keeping: LocalKeeper) -> None:
    """Another version of the candidate gets no traffic and cannot be accepted."""
    won(keeping)
    keeping.controller.settle("digits", "fp32", VERSIONS | {"int8": "d" * 64}, None)
    assert (keeping.routes.share("fp32"), keeping.routes.baseline) == (1.0, "fp32")
    with pytest.raises(RefusedAction, match="another version of int8 was loaded"):
        accept(keeping)
    keeping.start()


def test_what_a_person_gives_to_another_version_stays(keeping: LocalKeeper) -> None:
    """Traffic that a person gives to another version stays after a restart."""
    won(keeping)
    newer = VERSIONS | {"int8": "d" * 64}
    keeping.controller.settle("digits", "fp32", newer, None)
    keeping.commands.set_routes("digits", RoutesRequest(weights={"fp32": 0, "int8": 1}), "ann")
    keeping.controller.settle("digits", "fp32", newer, None)
    assert keeping.routes.share("int8") == 1.0


def test_another_version_of_what_was_accepted_is_the_baseline(keeping: LocalKeeper) -> None:
    """Another version of an accepted baseline is the baseline."""
    accept(won(keeping))
    keeping.controller.settle("digits", "fp32", VERSIONS | {"int8": "d" * 64}, None)
    assert (keeping.routes.baseline, keeping.routes.share("int8")) == ("int8", 1.0)


def test_a_winner_without_the_traffic_is_refused(keeping: LocalKeeper) -> None:
    """A candidate that has lost part of its traffic cannot be accepted."""
    won(keeping)
    keeping.commands.set_routes("digits", RoutesRequest(weights={"fp32": 1, "int8": 3}), "ann")
    with pytest.raises(RefusedAction, match=r"it gets 75 % of the traffic: other routes were set"):
        accept(keeping)


def test_it_stands_in_the_trail_and_comes_out_the_same(keeping: LocalKeeper) -> None:
    """The trail has the acceptance with its author and reason, and a replay finds no fault."""
    accept(won(keeping), reason="a week without a complaint")
    line = keeping.commands.trail("digits", 0)[-1]
    assert (line.action, line.by, line.reason) == ("accept", "bob", "a week without a complaint")
    assert keeping.commands.replay(keeping.rollout.rollout).faults == ()
