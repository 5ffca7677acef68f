"""How the stored routes and rollout are adapted to the loaded variants."""

from collections.abc import Mapping

import pytest

from serve.base.routing import Routes
from serve.rollout.api_records import RoutesRequest
from serve.rollout.evidence.evidence import Evidence
from serve.rollout.model_state import ModelState
from serve.rollout.reconcile import reconcile
from serve.rollout.state.policy import AccuracyGuard, Guards, ShadowPolicy
from serve.rollout.state.rollout import Phase
from serve.rollout.store.store import Present
from serve.rollout.trail.trail import Action
from tests.serve.rollout.local_keeper import POLICY, VERSIONS, Clock, Gateway, LocalKeeper, turn

SKIP = POLICY.model_copy(update={"shadow": ShadowPolicy(skip=True)})


def without(*variants: str) -> dict[str, str]:
    """Return the digests without these variants."""
    return {name: digest for name, digest in VERSIONS.items() if name not in variants}


def settle(
    keeping: LocalKeeper, versions: Mapping[str, str], weights: Mapping[str, float] | None = None
) -> Mapping[str, float]:
    """Load these variants and return the weights in force."""
    keeping.controller.settle("digits", "fp32", versions, weights)
    return keeping.routes.weights


def set_weights(keeping: LocalKeeper, **weights: float) -> None:
    """Set the weights as a person does."""
    keeping.commands.set_routes("digits", RoutesRequest(weights=weights), "ann")


def test_a_model_starts_with_its_baseline(keeping: LocalKeeper) -> None:
    """A new model's baseline has all traffic, and the trail names the server as the author."""
    assert keeping.routes.weights == {"fp32": 100.0}
    [entry] = keeping.store.trail("digits")
    assert (entry.change.action, entry.change.by) == (Action.ROUTES, "serve")


def test_settling_again_writes_nothing(keeping: LocalKeeper) -> None:
    """Settling with the same variants writes nothing."""
    settle(keeping, VERSIONS, {"fp32": 100.0})
    assert len(keeping.store.trail("digits")) == 1


def test_the_start_says_how_traffic_is_split(file: str, clock: Clock) -> None:
    """The weights of the command line are the first routes."""
    keeping = LocalKeeper(file, clock, weights={"fp32": 1, "int8": 3})
    assert keeping.routes.weights == {"fp32": 1.0, "int8": 3.0}
    keeping.kill()


def test_another_start_may_split_it_otherwise(keeping: LocalKeeper) -> None:
    """The weights of a later start apply if nobody has set routes."""
    assert settle(keeping, VERSIONS, {"int8": 1.0}) == {"fp32": 0.0, "int8": 1.0}
    assert keeping.routes.revision == 2


@pytest.mark.parametrize("decided", ["routes", "rollout"])
def test_what_was_decided_on_is_stronger_than_the_start(
    keeping: LocalKeeper, gateway: Gateway, decided: str
) -> None:
    """After a restart, weights that a person or a rollout set override those of the command line."""
    if decided == "routes":
        set_weights(keeping, fp32=9, int8=1)
    else:
        keeping.start(SKIP)
        turn(keeping, gateway)
        for _ in range(2):
            keeping.promote()
    before = keeping.routes
    settle(keeping, VERSIONS, {"fp32": 100.0})
    assert keeping.routes == before


def test_an_unloaded_variant_gives_its_traffic_to_the_others(keeping: LocalKeeper) -> None:
    """The weights of the other variants stay after an unload, and the trail names the keeper."""
    set_weights(keeping, fp32=1, int8=1, slim=2)
    assert settle(keeping, without("slim")) == {"fp32": 1.0, "int8": 1.0}
    assert keeping.store.trail("digits")[-1].change.by == "keeper"


def test_the_baseline_gets_what_nobody_else_can_take(keeping: LocalKeeper) -> None:
    """If the only variant with traffic is unloaded, the baseline gets it."""
    set_weights(keeping, int8=1)
    assert settle(keeping, without("int8")) == {"fp32": 100.0}


def test_a_variant_that_comes_back_gets_no_traffic(keeping: LocalKeeper) -> None:
    """A variant that is loaded again gets no traffic."""
    set_weights(keeping, fp32=1, int8=1)
    settle(keeping, without("int8"))
    assert settle(keeping, VERSIONS) == {"fp32": 1.0}


def test_the_shadow_of_a_variant_that_was_unloaded_ends(keeping: LocalKeeper) -> None:
    """The shadow of an unloaded variant ends, and other shadows and the sticky key stay."""
    wanted = RoutesRequest(shadows={"int8": 0.5, "slim": 1.0}, sticky="x-user-id")
    keeping.commands.set_routes("digits", wanted, "ann")
    settle(keeping, without("slim"))
    assert (keeping.routes.shadows, keeping.routes.sticky) == ({"int8": 0.5}, "x-user-id")


def test_a_new_baseline_is_no_shadow() -> None:
    """A new baseline is no longer a shadow."""
    before = Routes(model="digits", baseline="fp32", weights={"fp32": 1}, shadows={"int8": 1.0})
    present = Present(number=1, routes=before, rollout=None, evidence=Evidence())
    state = ModelState(model="digits", baseline="int8", digests=VERSIONS, present=present, decided=True)
    after = reconcile(state)
    assert (after.baseline, after.weights, after.shadows) == ("int8", {"int8": 0.0, "fp32": 1.0}, {})


@pytest.mark.parametrize(
    ("versions", "reason"),
    [
        (without("int8"), "int8 is not loaded any more"),
        (VERSIONS | {"int8": "d" * 64}, "another version of int8 was loaded than the evidence is about"),
        (VERSIONS | {"fp32": "d" * 64}, "another version of fp32 was loaded than the evidence is about"),
    ],
    ids=["unloaded", "new candidate", "new baseline"],
)
def test_other_versions_end_a_rollout(
    keeping: LocalKeeper, gateway: Gateway, versions: dict[str, str], reason: str
) -> None:
    """Another version of the baseline or the candidate ends the rollout with the reason."""
    keeping.start(SKIP)
    turn(keeping, gateway)
    settle(keeping, versions)
    assert (keeping.rollout.phase, keeping.rollout.by) == (Phase.ROLLED_BACK, "keeper")
    assert keeping.rollout.reason == reason
    assert keeping.routes.share("fp32") == 1
    assert keeping.state.watch is None


def test_a_third_variant_comes_and_goes_while_a_rollout_runs(keeping: LocalKeeper, gateway: Gateway) -> None:
    """Unloading a third variant does not affect the rollout or its counts."""
    keeping.start(SKIP.model_copy(update={"proof_above": 0.0}))
    turn(keeping, gateway)
    settle(keeping, without("slim"))
    gateway.serve(500)
    gateway.report(keeping)
    keeping.tick()
    assert keeping.place == (Phase.STEP, 1)
    assert keeping.state.present.evidence.segments[0].requests.both == 2500


def test_another_version_of_a_keeper_that_was_away_ends_a_rollout(keeping: LocalKeeper, file: str) -> None:
    """Another version that was loaded while no keeper ran ends the rollout."""
    keeping.start(SKIP)
    keeping.kill()
    keeping.clock.now_s += 60
    another = LocalKeeper(file, keeping.clock, versions=VERSIONS | {"int8": "d" * 64})
    assert another.place == (Phase.ROLLED_BACK, 1)
    another.kill()


def test_a_model_that_is_unloaded_ends_its_rollout(keeping: LocalKeeper) -> None:
    """Unloading a model ends its rollout, and the history stays readable."""
    view = keeping.start(SKIP)
    keeping.controller.forget("digits")
    assert keeping.commands.view(view.rollout.rollout).rollout.reason == "digits was unloaded"
    assert keeping.controller.states == {}


@pytest.mark.parametrize("feedback", [False, True])
def test_gateways_are_told_what_to_count(keeping: LocalKeeper, feedback: bool) -> None:
    """Gateways get the rollout, the candidate, the limit and whether ids are needed; without a rollout,
    nothing."""
    assert keeping.state.watch is None
    guards = Guards(latency=POLICY.guards.latency, accuracy=AccuracyGuard() if feedback else None)
    view = keeping.start(POLICY.model_copy(update={"guards": guards}))
    watch = keeping.state.watch
    assert watch is not None
    assert (watch.rollout, watch.candidate, watch.limit_ms) == (view.rollout.rollout, "int8", 50)
    assert watch.feedback is feedback
