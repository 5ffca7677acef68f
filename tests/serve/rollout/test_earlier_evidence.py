"""A new rollout of the same two versions starts with the evidence of the earlier one."""

from typing import Any

import pytest

from serve.base.errors import RefusedAction
from serve.counting.key_counts import KeyCounts
from serve.rollout.api_records import ActRequest, RolloutRequest
from serve.rollout.earlier_evidence import EarlierRollout, carry_over
from serve.rollout.evidence.evidence import Carried, Evidence
from serve.rollout.evidence.matched_pairs import MatchedPairs
from serve.rollout.replay import replay
from serve.rollout.state.policy import Guards, LatencyGuard, Policy, ShadowPolicy
from serve.rollout.state.rollout import Phase
from serve.rollout.trail.trail import Action
from tests.serve.rollout.local_keeper import POLICY, VERSIONS, Gateway, LocalKeeper, turn
from tests.serve.rollout.rollouts import at_step, shadowed

# The rollout stays in its first step, where the candidate gets one request in ten.
STILL = POLICY.model_copy(
    update={
        "shadow": ShadowPolicy(skip=True),
        "steps": tuple(step.model_copy(update={"minimum_s": 3600.0}) for step in POLICY.steps),
        "settle_s": 0.0,
        # A stall lasts a second as a rule, so a lasting failure soon counts as a rate.
        "guards": POLICY.guards.model_copy(update={"stall_s": 1.0}),
    }
)


def again(keeping: LocalKeeper, policy: Policy = STILL, *, fresh: bool = False, trial: bool = False) -> None:
    """Start the rollout once more."""
    wanted = RolloutRequest(candidate="int8", policy=policy, fresh=fresh, trial=trial)
    keeping.commands.start("digits", wanted, "ann")


def abort(keeping: LocalKeeper) -> str:
    """Abort the rollout and return its name."""
    name = keeping.rollout.rollout
    keeping.commands.act(name, "abort", ActRequest(), "ann")
    return name


@pytest.fixture
def aborted(keeping: LocalKeeper, gateway: Gateway) -> LocalKeeper:
    """A keeper whose first rollout saw 2,000 requests, some of them slow, and was aborted."""
    keeping.start(STILL)
    turn(keeping, gateway, errors=(5, 1), slow=3)
    abort(keeping)
    return keeping


def harmed(keeping: LocalKeeper, gateway: Gateway) -> str:
    """Run a rollout that ends for its errors, and return its name."""
    keeping.start(STILL)
    while not keeping.rollout.phase.over:
        turn(keeping, gateway, errors=(2, 100))
    return keeping.rollout.rollout


def test_the_next_one_begins_with_what_the_last_one_saw(aborted: LocalKeeper, gateway: Gateway) -> None:
    """The next rollout has the last one's evidence and names it; its minimum of requests counts anew."""
    first = aborted.rollout.rollout
    again(aborted)
    assert aborted.rollout.reason == f"started, with the evidence of {first}"
    turn(aborted, gateway, 100)
    evidence = aborted.state.present.evidence
    [own], [known] = evidence.segments, evidence.known.segments
    assert (own.requests.both, known.requests.both, known.errors.candidate) == (100, 2100, 1)
    verdict, _ = aborted.state.judged or pytest.fail("nothing was judged")
    assert "100 of 1,000 requests" in verdict.reason
    assert verdict.figures[0].seen.startswith("1 of 210 ")


def test_evidence_adds_up_over_many_tries(aborted: LocalKeeper, gateway: Gateway) -> None:
    """The third rollout has the evidence of the first two, and each request counts once."""
    again(aborted)
    turn(aborted, gateway, 100)
    abort(aborted)
    again(aborted)
    turn(aborted, gateway, 10)
    [known] = aborted.state.present.evidence.known.segments
    assert known.requests.both == 2110


def test_a_try_that_saw_nothing_does_not_forget(aborted: LocalKeeper) -> None:
    """A rollout that is aborted before its first request passes on the earlier evidence."""
    again(aborted)
    abort(aborted)
    again(aborted)
    [known] = aborted.state.present.evidence.known.segments
    assert known.requests.both == 2000


def test_what_was_harmful_is_refused_with_its_reason(keeping: LocalKeeper, gateway: Gateway) -> None:
    """A candidate that was shown to be harmful is refused with the reason, and nothing is written."""
    name = harmed(keeping, gateway)
    before = keeping.state.present.number
    with pytest.raises(RefusedAction, match=f"rollout {name} already shows harm .*: harm shown .*--fresh"):
        again(keeping)
    assert keeping.state.present.number == before


def test_who_knows_another_cause_may_start_afresh(keeping: LocalKeeper, gateway: Gateway) -> None:
    """`fresh` starts without the earlier evidence; the trail says so, and later rollouts start from it."""
    name = harmed(keeping, gateway)
    again(keeping, fresh=True)
    assert keeping.rollout.reason == f"started afresh, without the evidence of {name}"
    assert keeping.state.present.evidence.carried is None
    turn(keeping, gateway)
    second = abort(keeping)
    again(keeping)
    assert keeping.rollout.reason == f"started, with the evidence of {second}"


def test_another_version_begins_with_nothing(aborted: LocalKeeper) -> None:
    """A rollout of another version starts without earlier evidence."""
    aborted.controller.settle("digits", "fp32", VERSIONS | {"int8": "d" * 64}, None)
    again(aborted)
    assert (aborted.rollout.reason, aborted.state.present.evidence.carried) == ("started", None)


def test_another_name_is_no_other_version(keeping: LocalKeeper, gateway: Gateway) -> None:
    """The same version under a new name is refused for its earlier harm."""
    name = harmed(keeping, gateway)
    keeping.controller.settle("digits", "fp32", VERSIONS | {"copy": VERSIONS["int8"]}, None)
    with pytest.raises(RefusedAction, match=f"rollout {name} already shows harm for the same two versions"):
        keeping.start(STILL, candidate="copy")


def test_another_candidate_in_between_changes_nothing(aborted: LocalKeeper) -> None:
    """The evidence is that of the last rollout of the same two versions, even if another candidate came
    between."""
    first = aborted.rollout.rollout
    aborted.start(STILL, candidate="slim")
    abort(aborted)
    again(aborted)
    assert aborted.rollout.reason == f"started, with the evidence of {first}"


def test_at_another_limit_latency_begins_anew(aborted: LocalKeeper) -> None:
    """Under another latency limit, errors are carried over and latencies are not."""
    update = {"guards": Guards(latency=LatencyGuard(limit_ms=500))}
    again(aborted, STILL.model_copy(update=update))
    [known] = aborted.state.present.evidence.known.segments
    assert (known.errors.candidate, known.over_limit.candidate, known.timed.both) == (1, 0, 0)
    abort(aborted)
    again(aborted)
    [known] = aborted.state.present.evidence.known.segments
    assert (known.errors.candidate, known.timed.both) == (1, 0)


def test_made_up_traffic_says_nothing_of_the_real_one(aborted: LocalKeeper, gateway: Gateway) -> None:
    """Evidence of a trial is not carried into a real rollout, nor the reverse."""
    first = aborted.rollout.rollout
    again(aborted, trial=True)
    assert aborted.state.present.evidence.carried is None
    turn(aborted, gateway)
    abort(aborted)
    again(aborted)
    assert aborted.rollout.reason == f"started, with the evidence of {first}"


def test_what_was_promoted_is_another_question(keeping: LocalKeeper, gateway: Gateway) -> None:
    """After a promotion a rollout of the same versions starts without evidence."""
    keeping.start(POLICY.model_copy(update={"shadow": ShadowPolicy(skip=True), "watch_s": 0.0}))
    for _ in POLICY.steps:
        keeping.promote()
    assert keeping.rollout.phase is Phase.DONE
    keeping.controller.settle("digits", "fp32", VERSIONS, None)
    routes = keeping.routes.model_copy(
        update={"weights": {"fp32": 1.0, "int8": 0.0}, "revision": keeping.routes.revision + 1}
    )
    keeping.state.present = keeping.state.present.model_copy(update={"routes": routes})
    again(keeping)
    assert keeping.rollout.reason == "started"


def test_it_survives_a_killed_keeper_and_computes_again(aborted: LocalKeeper, gateway: Gateway) -> None:
    """Carried evidence is the same after a restart, and a replay finds no fault."""
    again(aborted)
    carried = aborted.state.present.evidence.carried
    turn(aborted, gateway)
    another = aborted.killed()
    try:
        assert another.state.present.evidence.carried == carried
        trail = another.store.trail("digits")
        [start] = [entry.change for entry in trail if entry.change.action is Action.START][1:]
        assert start.carried == carried
        assert replay(trail, another.rollout.rollout, another.store.key).faults == ()
    finally:
        another.kill()


def test_what_keys_did_before_goes_on_with_the_next_one(aborted: LocalKeeper) -> None:
    """Earlier counts by key are carried over."""
    before, past = KeyCounts(buckets={1: 9}), KeyCounts(buckets={2: 5}, over_limit={2: 1})
    evidence = aborted.state.present.evidence.model_copy(update={"before": before, "past": past})
    again(aborted)
    carried = carry_over(EarlierRollout(rollout=aborted.rollout, evidence=evidence), aborted.rollout)
    assert carried is not None
    assert (carried.before, carried.past) == (before, past)


def test_labels_of_the_shadow_count_in_the_next_one() -> None:
    """Labels of the shadow are carried over and added by class."""
    matched = {3: MatchedPairs(labelled=5, neither=1)}
    carried = Carried(matched=matched, classes=10)
    known = Evidence(
        matched={3: MatchedPairs(labelled=2), 4: MatchedPairs(labelled=1)}, carried=carried
    ).known
    assert known.matched == {3: MatchedPairs(labelled=7, neither=1), 4: MatchedPairs(labelled=1)}
    assert known.classes == 10
    begun = at_step(0)
    seen: dict[str, Any] = {"matched": matched, "shadow": shadowed(9, 0)}
    assert carry_over(EarlierRollout(rollout=begun, evidence=Evidence(**seen)), begun) == Carried(**seen)
