"""What people can read of a rollout, while it runs and when it is over."""

import pytest

from serve.base.errors import UnknownModel, UnknownRollout
from serve.rollout.api_records import ActRequest, RoutesRequest
from serve.rollout.state.feedback import Outcome, Outcomes
from serve.rollout.state.policy import AccuracyGuard, ShadowPolicy
from serve.rollout.state.rollout import Phase
from tests.serve.rollout.local_keeper import POLICY, Gateway, LocalKeeper, turn

LABELS = Outcomes(outcomes=(Outcome(request_id="a", correct=False),))


@pytest.mark.parametrize("ask", ["view", "replay", "act"])
def test_an_unknown_rollout_is_named(keeping: LocalKeeper, ask: str) -> None:
    """An unknown rollout gives a 404 that names it."""
    arguments = ("pause", ActRequest(), "bob") if ask == "act" else ()
    with pytest.raises(UnknownRollout, match="no rollout 'r9'"):
        getattr(keeping.commands, ask)("r9", *arguments)


@pytest.mark.parametrize("ask", ["rollouts", "trail", "curves", "feedback"])
def test_an_unknown_model_is_named(keeping: LocalKeeper, ask: str) -> None:
    """The error for an unknown model suggests the nearest one."""
    arguments = {"trail": (0,), "feedback": (Outcomes(outcomes=()), "ann")}.get(ask, ())
    with pytest.raises(UnknownModel, match="did you mean 'digits'"):
        getattr(keeping.commands, ask)("digit", *arguments)


def test_a_model_that_was_unloaded_has_its_history(keeping: LocalKeeper) -> None:
    """An unloaded model has its trail, rollouts and replay, and no curves."""
    view = keeping.start()
    keeping.controller.forget("digits")
    assert [line.phase for line in keeping.commands.rollouts("digits")] == [Phase.ROLLED_BACK]
    assert keeping.commands.replay(view.rollout.rollout).faults == ()
    assert keeping.commands.trail("digits", 0)[-1].reason == "digits was unloaded"
    with pytest.raises(UnknownModel):
        keeping.commands.curves("digits")


def test_a_view_has_the_share_as_it_came(keeping: LocalKeeper, gateway: Gateway) -> None:
    """The view has the served share since the last change and the last verdict."""
    keeping.start(POLICY.model_copy(update={"shadow": ShadowPolicy(skip=True), "proof_above": 0.0}))
    assert keeping.commands.view(keeping.rollout.rollout).served is None
    turn(keeping, gateway, 1000)
    view = keeping.commands.view(keeping.rollout.rollout)
    assert (view.served, view.judged_s) == (0.1, keeping.clock.now_s)
    assert view.verdict is not None
    assert view.verdict.kind == "CONTINUE"


def test_a_rollout_that_is_over_is_shown_as_it_ended(keeping: LocalKeeper, gateway: Gateway) -> None:
    """The view of an earlier rollout has its own evidence, verdict and routes."""
    first = keeping.start()
    turn(keeping, gateway, differ=500)
    keeping.clock.now_s += 60
    keeping.start(candidate="slim")
    view = keeping.commands.view(first.rollout.rollout)
    assert (view.rollout.phase, view.evidence.shadow.pairs) == (Phase.ROLLED_BACK, 2000)
    assert (view.routes.shadows, view.verdict is not None) == ({}, True)


def test_the_trail_is_read_on_from_a_number(keeping: LocalKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trail returns a limited number of entries after a given number."""
    monkeypatch.setattr("serve.control.commands._MOST_ENTRIES", 3)
    for _ in range(5):
        keeping.commands.set_routes("digits", RoutesRequest(weights={"int8": 1}), "bob")
    assert [line.number for line in keeping.commands.trail("digits", 2)] == [3, 4, 5]
    assert [line.number for line in keeping.commands.trail("digits", 6)] == []


def test_feedback_without_a_rollout_is_of_nobody(keeping: LocalKeeper) -> None:
    """Without a rollout an outcome is unknown."""
    feedback = keeping.commands.feedback("digits", LABELS, "ann")
    assert (feedback.counted, feedback.unknown) == (0, ("a",))
    assert "no rollout of 'digits' is in progress" in str(feedback.note)


def test_a_rollout_without_an_accuracy_guard_says_why_labels_do_not_count(keeping: LocalKeeper) -> None:
    """The note on feedback names the rollout and the missing key of its policy."""
    rollout = keeping.start(POLICY).rollout.rollout
    feedback = keeping.commands.feedback("digits", LABELS, "ann")
    assert feedback.unknown == ("a",)
    assert rollout in str(feedback.note)
    assert "`guards: {accuracy: {}}`" in str(feedback.note)


def test_a_rollout_with_an_accuracy_guard_has_nothing_to_note(keeping: LocalKeeper) -> None:
    """With an accuracy guard, a label of an unknown request is held, and there is no note."""
    guards = POLICY.guards.model_copy(update={"accuracy": AccuracyGuard()})
    keeping.start(POLICY.model_copy(update={"guards": guards}))
    feedback = keeping.commands.feedback("digits", LABELS, "ann")
    assert (feedback.held, feedback.note) == (("a",), None)
