"""How the controller moves traffic by the gateways' reports, step by step, and back at once."""

from typing import Any

import pytest

from serve.rollout.api_records import ActRequest, RolloutRequest
from serve.rollout.evidence.evidence import Evidence
from serve.rollout.model_state import ModelState
from serve.rollout.replay import replay
from serve.rollout.state.feedback import Outcome, Outcomes
from serve.rollout.state.policy import AccuracyGuard, Policy, ShadowPolicy, Step
from serve.rollout.state.rollout import Phase
from tests.serve.rollout.local_keeper import POLICY, VERSIONS, Gateway, LocalKeeper, turn

SKIP = POLICY.model_copy(update={"shadow": ShadowPolicy(skip=True)})


def test_a_good_candidate_goes_to_all_traffic_step_by_step(keeping: LocalKeeper, gateway: Gateway) -> None:
    """A good candidate goes through the shadow and each step to DONE, and a replay finds no fault."""
    view = keeping.start()
    while not keeping.rollout.watched:
        turn(keeping, gateway)
    keeping.tick(keeping.rollout.policy.watch_s)
    trail = keeping.store.trail("digits")
    changes = [entry.change for entry in trail if entry.change.rollout]
    places = [(change.rollout.phase, change.rollout.step) for change in changes if change.rollout]
    assert list(dict.fromkeys(places)) == [
        (Phase.SHADOW, 0),
        (Phase.STEP, 1),
        (Phase.STEP, 2),
        (Phase.STEP, 3),
        (Phase.WATCHING, 3),
        (Phase.DONE, 3),
    ]
    shares = [change.routes.share("int8") for change in changes if change.routes]
    assert shares == [0.0, 0.1, 0.5, 0.95, 1.0]
    assert keeping.routes.weights == {"fp32": 0.0, "int8": 1.0}
    assert replay(trail, view.rollout.rollout, keeping.store.key).faults == ()


def test_a_new_share_is_in_force_with_the_verdict(keeping: LocalKeeper, gateway: Gateway) -> None:
    """The verdict that ends the shadow also gives the candidate its share."""
    keeping.start()
    assert keeping.routes.shadows == {"int8": 1.0}
    turn(keeping, gateway)
    assert (keeping.routes.weights, keeping.routes.shadows) == ({"fp32": 0.9, "int8": 0.1}, {})


@pytest.mark.parametrize(
    ("counts", "guard"), [({"errors": (0, 60)}, "errors"), ({"slow": 100}, "latency")], ids=str
)
def test_harm_rolls_back_at_the_look_that_shows_it(
    keeping: LocalKeeper, gateway: Gateway, counts: dict[str, Any], guard: str
) -> None:
    """Harm gives the baseline all traffic with the same entry, within 20 looks."""
    guards = SKIP.guards.model_copy(update={"stall_s": 1.0})
    keeping.start(SKIP.model_copy(update={"steps": Policy().steps, "settle_s": 0, "guards": guards}))
    keeping.promote()
    keeping.promote()
    looks = 0
    while not keeping.rollout.phase.over:
        turn(keeping, gateway, **counts)
        looks += 1
    assert (keeping.place, looks < 20) == ((Phase.ROLLED_BACK, 3), True)
    change = keeping.store.trail("digits")[-1].change
    assert change.routes is not None
    assert change.routes.weights == {"fp32": 1.0, "int8": 0.0}
    assert f"harm shown at 25 % of the traffic: {guard}: " in keeping.rollout.reason


def test_a_warm_up_is_no_harm(keeping: LocalKeeper, gateway: Gateway) -> None:
    """Late answers in the first 20 s of a step are no harm, as the settling time is 30 s."""
    keeping.start(SKIP.model_copy(update={"steps": Policy().steps}))
    keeping.promote()
    keeping.promote()
    for second in range(50):
        turn(keeping, gateway, slow=100 if second < 20 else 0)
    assert keeping.place == (Phase.STEP, 3)
    [segment] = keeping.state.present.evidence.segments
    assert (segment.over_limit.candidate, segment.timed.both) == (0, 40_000)


def test_a_candidate_that_differs_is_rolled_back_before_any_user_sees_it(
    keeping: LocalKeeper, gateway: Gateway
) -> None:
    """A candidate with 10 % differing pairs, where 2 % are allowed, is rolled back before it gets traffic."""
    view = keeping.start()
    turn(keeping, gateway, differ=200)
    assert keeping.place == (Phase.ROLLED_BACK, 0)
    shares = [
        entry.change.routes.share("int8") for entry in keeping.store.trail("digits") if entry.change.routes
    ]
    assert set(shares) == {0.0}
    shown = keeping.commands.view(view.rollout.rollout).disagreements
    assert [each.request_id for each in shown] == ["r1", "r0"]


def test_no_traffic_is_no_failure(keeping: LocalKeeper) -> None:
    """An hour without traffic changes nothing and writes nothing."""
    keeping.start(SKIP)
    before = keeping.state.present.number
    for _ in range(60):
        keeping.tick(60)
    assert (keeping.place, keeping.state.present.number) == ((Phase.STEP, 1), before)


def test_time_that_runs_out_leaves_the_baseline(keeping: LocalKeeper) -> None:
    """At the time limit the baseline gets all traffic, and the phase is INCONCLUSIVE."""
    keeping.start(SKIP.model_copy(update={"maximum_s": 100.0}))
    keeping.tick(100)
    assert keeping.place == (Phase.INCONCLUSIVE, 1)
    assert keeping.routes.weights == {"fp32": 1.0, "int8": 0.0}


def test_two_gateways_add_up(keeping: LocalKeeper, gateway: Gateway) -> None:
    """Pairs of two gateways add up to the minimum that neither has alone."""
    other = Gateway("two")
    keeping.start()
    for each in (gateway, other):
        each.hear(keeping)
        each.serve(400)
        each.report(keeping)
    keeping.tick()
    assert keeping.state.present.evidence.shadow.pairs == 800
    assert keeping.place == (Phase.STEP, 1)


def test_what_comes_late_counts_in_the_step_that_chose_it(keeping: LocalKeeper, gateway: Gateway) -> None:
    """Requests of a gateway with old routes count in the step that chose their variant."""
    slow = Gateway("slow")
    keeping.start(SKIP)
    slow.hear(keeping)
    turn(keeping, gateway)
    assert keeping.place == (Phase.STEP, 2)
    slow.serve(1000)
    slow.report(keeping)
    keeping.tick()
    [segment] = keeping.state.present.evidence.segments
    assert (segment.key, segment.requests.both) == ((1, 0.1, False), 3000)


def test_a_person_pauses_and_nothing_moves(keeping: LocalKeeper, gateway: Gateway) -> None:
    """A paused rollout collects evidence and does not move."""
    view = keeping.start()
    keeping.commands.act(view.rollout.rollout, "pause", ActRequest(), "bob")
    turn(keeping, gateway)
    assert keeping.place == (Phase.PAUSED, 0)
    assert keeping.state.present.evidence.shadow.pairs == 2000


def test_a_verdict_that_changes_nothing_is_written_when_there_is_more_evidence(
    keeping: LocalKeeper, gateway: Gateway
) -> None:
    """A verdict that changes nothing is written when the pairs have grown by 10 %."""
    keeping.start(POLICY.model_copy(update={"shadow": ShadowPolicy(minimum_pairs=10_000)}))
    before = keeping.state.present.number
    for pairs in (1000, 50, 40, 20, 200):
        turn(keeping, gateway, pairs)
    verdicts = [entry.change.judged for entry in keeping.store.trail("digits")[before:]]
    assert [judged.evidence.shadow.pairs for judged in verdicts if judged] == [1000, 1110, 1310]


def test_whom_the_policy_names_is_told_of_each_change(keeping: LocalKeeper, gateway: Gateway) -> None:
    """The webhook gets the start and each change, and no look that changed nothing."""
    keeping.start(POLICY.model_copy(update={"webhook": "http://example.com/told"}))
    keeping.tick()
    turn(keeping, gateway)
    assert [(url, model, line.action, line.step) for url, model, line in keeping.told] == [
        ("http://example.com/told", "digits", "start", 0),
        ("http://example.com/told", "digits", "verdict", 1),
    ]


def test_a_sheet_of_a_rollout_that_is_over_counts_nowhere(keeping: LocalKeeper, gateway: Gateway) -> None:
    """A delta of a finished rollout does not count in the next one."""
    first = keeping.start()
    gateway.hear(keeping)
    gateway.serve(100)
    keeping.commands.act(first.rollout.rollout, "abort", ActRequest(), "ann")
    keeping.start()
    counter = gateway.counter
    assert counter is not None
    delta = counter.delta(1, {})
    assert delta is not None
    keeping.controller.take("digits", "one", delta)
    keeping.controller.take("nobody", "one", delta)
    keeping.tick()
    assert keeping.state.present.evidence.shadow.pairs == 0
    assert keeping.controller.written("one") == {}


def test_what_is_wrong_with_one_model_stops_no_other(
    keeping: LocalKeeper, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception for one model does not keep another model's rollout from being judged."""

    def fail_for_another(state: ModelState, evidence: Evidence) -> bool:
        if state.model == "another":
            raise ValueError("a bug of ours")
        return True

    keeping.controller.settle("another", "fp32", VERSIONS, None)
    keeping.controller.states = dict(sorted(keeping.controller.states.items()))
    keeping.commands.start("another", RolloutRequest(candidate="int8", policy=POLICY), "ann")
    keeping.start()
    monkeypatch.setattr(ModelState, "notable", fail_for_another)
    turn(keeping, gateway)
    assert keeping.place == (Phase.STEP, 1)


def test_labels_of_the_shadow_convict_one_bad_class(keeping: LocalKeeper, gateway: Gateway) -> None:
    """Labels of the shadow roll back a candidate that is wrong in a third of one class."""
    guards = POLICY.guards.model_copy(update={"accuracy": AccuracyGuard()})
    shadow = POLICY.shadow.model_copy(update={"minimum_pairs": 100_000, "agreement": 0.5})
    keeping.start(POLICY.model_copy(update={"guards": guards, "shadow": shadow}))
    gateway.hear(keeping)
    for second in range(10):
        ids = [f"{second}-{number}" for number in range(100)]
        classes = {each: number % 10 for number, each in enumerate(ids)}
        wrong = set(ids[::10][:3])
        gateway.serve(100)
        assert gateway.counter is not None
        tops = {each: (right, 9 - right if each in wrong else right) for each, right in classes.items()}
        gateway.counter.copies.matched |= tops
        gateway.counter.copies.classes = 10
        gateway.report(keeping)
        keeping.tick()
        gateway.report(keeping)
        told = [Outcome(request_id=each, label=right) for each, right in classes.items()]
        assert keeping.commands.feedback("digits", Outcomes(outcomes=tuple(told)), "ann").unknown == ()
        keeping.tick(0.0)
        keeping.tick(0.0)
        if keeping.rollout.phase.over:
            break
    assert keeping.place == (Phase.ROLLED_BACK, 0)
    assert "class 0: only the baseline was right in " in keeping.rollout.reason


def test_labels_that_are_posted_at_once_convict(keeping: LocalKeeper, gateway: Gateway) -> None:
    """Labels that are posted before their requests are known count, and roll the candidate back."""
    guards = POLICY.guards.model_copy(update={"accuracy": AccuracyGuard()})
    steps = (Step(share=0.1, minimum_s=600), Step(share=1))
    keeping.start(SKIP.model_copy(update={"guards": guards, "steps": steps}))
    gateway.hear(keeping)
    for second in range(30):
        gateway.serve(200, request_id=str(second))
        told = [
            Outcome(request_id=f"{second}-{variant}-{number}", correct=variant == "fp32" or number > 5)
            for variant, count in (("fp32", 180), ("int8", 20))
            for number in range(count)
        ]
        feedback = keeping.commands.feedback("digits", Outcomes(outcomes=tuple(told)), "ann")
        assert (len(feedback.held), feedback.unknown) == (200, ())
        gateway.report(keeping)
        keeping.tick()
        keeping.tick(0.0)
        if keeping.rollout.phase.over:
            break
    assert keeping.place == (Phase.ROLLED_BACK, 1)
    assert "accuracy: " in keeping.rollout.reason
