"""The commands of the control API and their refusals."""

from typing import Any

import pytest

from serve.base.errors import (
    CounterweightError,
    InvalidRequest,
    RefusedAction,
    StaleRevision,
    UnknownModel,
    UnknownVariant,
)
from serve.rollout.api_records import ActRequest, RoutesRequest
from serve.rollout.state.policy import ShadowPolicy
from serve.rollout.state.rollout import Phase
from tests.serve.rollout.local_keeper import POLICY, Gateway, LocalKeeper, turn

# This shadow needs too many pairs to be proven soon.
SLOW = POLICY.model_copy(update={"shadow": ShadowPolicy(minimum_pairs=1_000_000)})


def act(
    keeping: LocalKeeper, name: Any, number: int | None = None, rollout: str | None = None, **more: Any
) -> Any:
    """Perform bob's act on the last rollout."""
    wanted = ActRequest(number=number, **more)
    return keeping.commands.act(rollout or keeping.rollout.rollout, name, wanted, "bob")


def set_routes(keeping: LocalKeeper, model: str = "digits", **wanted: Any) -> Any:
    return keeping.commands.set_routes(model, RoutesRequest(**wanted), "bob")


def test_a_rollout_is_named_after_its_model_and_its_moment(keeping: LocalKeeper) -> None:
    """A rollout's name has its model and its start time; the view has its phase and who started it."""
    view = keeping.start()
    assert view.rollout.rollout.rpartition("-")[0] == "digits-20010909-014640"
    assert (view.rollout.phase, view.rollout.by, view.routes.shadows) == (Phase.SHADOW, "ann", {"int8": 1.0})


def test_what_is_not_named_stays_as_it_is(keeping: LocalKeeper) -> None:
    """Weights, shadows and the sticky key are set independently."""
    set_routes(keeping, weights={"fp32": 9, "int8": 1}, sticky="x-user-id")
    routes = set_routes(keeping, shadows={"slim": 0.5})
    assert (routes.weights, routes.shadows, routes.sticky) == (
        {"fp32": 9.0, "int8": 1.0},
        {"slim": 0.5},
        "x-user-id",
    )
    assert (routes.revision, keeping.routes) == (3, routes)


def test_who_set_the_routes_is_kept(keeping: LocalKeeper) -> None:
    """The trail has the author and the time of new routes."""
    set_routes(keeping, weights={"int8": 1})
    line = keeping.commands.trail("digits", 1)[0]
    assert (line.action, line.by, line.at_s, line.reason) == (
        "routes",
        "bob",
        keeping.clock.now_s,
        "routes were set",
    )


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        ({"model": "digit"}, UnknownModel, "no model 'digit' is served here; did you mean 'digits'"),
        ({"weights": {"int4": 1}}, UnknownVariant, "serves no variant 'int4'; did you mean 'int8'"),
        ({"shadows": {"int4": 1}}, UnknownVariant, "serves no variant 'int4'"),
        ({"weights": {"fp32": 0}}, InvalidRequest, "routes of 'digits': the weights sum to 0"),
        ({"shadows": {"fp32": 1}}, InvalidRequest, "shadows: 'fp32'"),
        ({"weights": {"fp32": 1}, "sticky": "a b"}, InvalidRequest, "sticky: .*got: 'a b'"),
        (
            {"weights": {"int8": 1}, "revision": 7},
            StaleRevision,
            r"with revision 7,.*1 is in force; read them",
        ),
    ],
    ids=["model", "variant", "shadow", "weights", "baseline", "sticky", "stale"],
)
def test_routes_that_cannot_be_are_refused(
    keeping: LocalKeeper, wanted: dict[str, Any], error: type[CounterweightError], message: str
) -> None:
    """The error names the value and the fix, and the routes stay unchanged."""
    with pytest.raises(error, match=message):
        set_routes(keeping, **wanted)
    assert (keeping.routes.weights, keeping.routes.revision) == ({"fp32": 100.0}, 1)


def test_a_stale_revision_comes_with_the_current_one(keeping: LocalKeeper) -> None:
    """An outdated revision is refused with the present one."""
    set_routes(keeping, weights={"fp32": 0, "int8": 1}, revision=1)
    with pytest.raises(StaleRevision) as refused:
        set_routes(keeping, weights={"slim": 1}, revision=1)
    assert (refused.value.current, keeping.routes.share("int8")) == (2, 1.0)


def test_weights_that_are_not_named_stay(keeping: LocalKeeper) -> None:
    """Setting `int8=50` keeps the baseline at 100, so `int8` gets a third of the requests."""
    routes = set_routes(keeping, weights={"int8": 50})
    assert routes.weights == {"fp32": 100.0, "int8": 50.0}


def test_no_routes_are_set_while_a_rollout_runs(keeping: LocalKeeper) -> None:
    """Routes cannot be set while a rollout controls the traffic; the error says to abort it."""
    view = keeping.start()
    with pytest.raises(RefusedAction, match=f"{view.rollout.rollout} .* the traffic of .*; abort it"):
        set_routes(keeping, shadows={"slim": 1})


@pytest.mark.parametrize(
    ("candidate", "error", "message"),
    [
        ("int4", UnknownVariant, "serves no variant 'int4'; did you mean 'int8'"),
        ("fp32", InvalidRequest, "the candidate 'fp32' is the baseline; name another variant"),
    ],
)
def test_a_rollout_to_nobody_is_refused(
    keeping: LocalKeeper, candidate: str, error: type[CounterweightError], message: str
) -> None:
    """The error for an unknown candidate suggests the nearest one."""
    with pytest.raises(error, match=message):
        keeping.start(candidate=candidate)


def test_of_two_rollouts_one_runs(keeping: LocalKeeper) -> None:
    """A second rollout of a model is refused, and the error names the first."""
    first = keeping.start()
    with pytest.raises(
        RefusedAction, match=f"{first.rollout.rollout} to 'int8' of 'digits' is in progress; wait for its end"
    ):
        keeping.start(candidate="slim")


def test_a_rollout_begins_with_all_traffic_at_the_baseline(keeping: LocalKeeper) -> None:
    """The start is refused while another variant has traffic; the error gives the command to undo that."""
    set_routes(keeping, weights={"fp32": 3, "slim": 1})
    with pytest.raises(
        RefusedAction, match=r"gets 75 % .*: counterweight routes digits --set fp32=100,slim=0$"
    ):
        keeping.start()


def test_shadows_of_others_stay_while_a_rollout_runs(keeping: LocalKeeper, gateway: Gateway) -> None:
    """Shadows of other variants keep their share before, during and after a rollout."""
    set_routes(keeping, shadows={"slim": 0.5})
    keeping.start()
    assert keeping.routes.shadows == {"slim": 0.5, "int8": 1.0}
    turn(keeping, gateway)
    assert keeping.routes.shadows == {"slim": 0.5}


def test_the_next_rollout_may_follow_one_that_is_over(keeping: LocalKeeper) -> None:
    """Rollouts are listed newest first, a finished one after the running one."""
    first = keeping.start()
    act(keeping, "abort")
    keeping.clock.now_s += 60
    second = keeping.start(candidate="slim")
    lines = keeping.commands.rollouts("digits")
    assert [(line.rollout, line.candidate, line.phase, line.by) for line in lines] == [
        (second.rollout.rollout, "slim", Phase.SHADOW, "ann"),
        (first.rollout.rollout, "int8", Phase.ROLLED_BACK, "bob"),
    ]


def test_a_person_goes_through_all_that_can_be_done(keeping: LocalKeeper) -> None:
    """Each act changes the phase, the traffic and the author."""
    keeping.start()
    assert act(keeping, "pause").rollout.phase is Phase.PAUSED
    assert act(keeping, "resume").rollout.phase is Phase.SHADOW
    view = act(keeping, "promote")
    assert (view.rollout.step, view.routes.share("int8"), view.routes.shadows) == (1, 0.1, {})
    view = act(keeping, "abort")
    assert (view.rollout.phase, view.rollout.by, view.routes.share("fp32")) == (Phase.ROLLED_BACK, "bob", 1.0)


def test_more_than_half_of_the_traffic_is_given_back_by_a_line_that_works(keeping: LocalKeeper) -> None:
    """The command in the error has `--yes`, because it moves more than half of the traffic."""
    set_routes(keeping, weights={"fp32": 1, "slim": 3})
    with pytest.raises(RefusedAction, match=r"--set fp32=100,slim=0 --yes$"):
        keeping.start()


@pytest.mark.parametrize("name", ["pause", "promote", "abort"])
def test_a_reason_stands_in_the_trail(keeping: LocalKeeper, name: str) -> None:
    """The rollout and the trail have the reason without surrounding spaces, beside the person's name."""
    keeping.start()
    view = act(keeping, name, reason=" wrong prices in the shop ")
    assert (view.rollout.by, view.rollout.reason) == ("bob", "wrong prices in the shop")
    assert keeping.commands.trail("digits", 0)[-1].reason == "wrong prices in the shop"


def test_an_act_without_a_reason_says_what_was_done(keeping: LocalKeeper) -> None:
    """Without a reason, the trail has a default reason."""
    keeping.start()
    assert act(keeping, "abort").rollout.reason == "aborted"


def test_what_was_decided_on_old_news_is_refused(keeping: LocalKeeper) -> None:
    """An act on an outdated entry is refused; the error names the entry that changed the rollout."""
    view = keeping.start(SLOW)
    act(keeping, "promote", view.number)
    with pytest.raises(StaleRevision, match=f"entry {view.number}, .*STEP at step 1; ") as refused:
        act(keeping, "promote", view.number)
    assert (refused.value.current, keeping.rollout.step) == (keeping.state.changed, 1)


def test_a_verdict_that_changed_nothing_is_no_news(keeping: LocalKeeper, gateway: Gateway) -> None:
    """A verdict that did not change the phase does not make an act stale."""
    view = keeping.start(SLOW)
    turn(keeping, gateway)
    turn(keeping, gateway)
    assert keeping.state.present.number > view.number
    assert act(keeping, "pause", view.number).rollout.phase is Phase.PAUSED


@pytest.mark.parametrize("name", ["pause", "resume", "promote", "abort"])
def test_a_rollout_that_is_over_stays_so(keeping: LocalKeeper, name: str) -> None:
    """An act on a finished rollout is refused, and the error names its phase."""
    keeping.start()
    act(keeping, "abort")
    with pytest.raises(RefusedAction, match=f"cannot {name} rollout .* in phase ROLLED_BACK"):
        act(keeping, name)


def test_a_rollout_before_the_last_one_is_over(keeping: LocalKeeper) -> None:
    """An act on an earlier rollout is refused and does not change the running one."""
    first = keeping.start()
    act(keeping, "abort")
    keeping.start()
    with pytest.raises(RefusedAction, match="is over; "):
        act(keeping, "abort", rollout=first.rollout.rollout)
    assert keeping.rollout.phase is Phase.SHADOW
