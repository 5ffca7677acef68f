from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.base.errors import RefusedAction
from serve.rollout.advance import abort, advance, end_watch, pause, promote, resume
from serve.rollout.judging.judge import Kind, Verdict
from serve.rollout.state.policy import Policy, Step
from serve.rollout.state.rollout import Phase, Rollout
from tests.serve.rollout.rollouts import at_step, begun

Move = Callable[[Rollout], Rollout]
GATED = Policy(steps=(Step(share=0.1), Step(share=0.5, approval=True), Step(share=1.0)))


def verdict(kind: Kind) -> Verdict:
    return Verdict(kind=kind, reason=f"a reason to {kind}", figures=())


def given_verdict(kind: Kind, now_s: float = 7.0) -> Move:
    return lambda rollout: advance(rollout, verdict(kind), now_s)


def person(action: Move) -> Move:
    """Return a move that does this act, and nothing if it is refused."""

    def act(rollout: Rollout) -> Rollout:
        try:
            return action(rollout)
        except RefusedAction:
            return rollout

    return act


MOVES: list[Move] = [
    *(given_verdict(kind) for kind in Kind),
    person(lambda rollout: pause(rollout, "ann")),
    person(lambda rollout: resume(rollout, "ann")),
    person(lambda rollout: promote(rollout, "ann", 7.0)),
    person(lambda rollout: abort(rollout, "ann")),
]


@given(moves=st.lists(st.sampled_from(MOVES), max_size=40), gated=st.booleans())
def test_no_sequence_of_moves_jumps_a_step_or_leaves_an_end(moves: list[Move], gated: bool) -> None:
    """In any sequence of moves a step rises by at most one, the watch follows the last step, and DONE the
    watch."""
    rollout = begun(GATED if gated else None)
    for move in moves:
        if rollout.phase.over:
            break
        following = move(rollout)
        assert following.step - rollout.step in (0, 1)
        assert following.share <= rollout.policy.steps[following.step - 1].share or not following.step
        if following.phase is Phase.WATCHING:
            assert rollout.step == len(rollout.policy.steps)
        if following.phase is Phase.DONE:
            assert rollout.phase is Phase.WATCHING
        rollout = following


def test_promoted_at_every_look_it_visits_every_step() -> None:
    """With PROMOTE at each look the shares are 0, 1, 5, 25, 50, 95 and 100 %, and the end is DONE."""
    rollout, shares = begun(), []
    while not rollout.phase.over:
        shares.append(rollout.share)
        rollout = given_verdict(Kind.PROMOTE)(rollout)
    assert shares == [0, 0.01, 0.05, 0.25, 0.5, 0.95, 1.0]
    assert rollout.phase is Phase.DONE


def test_a_step_notes_when_it_began_and_why() -> None:
    """A step records its start, from which its minimum time counts, and the reason."""
    rollout = given_verdict(Kind.PROMOTE, 99.0)(at_step(1))
    assert (rollout.entered_s, rollout.by, rollout.reason) == (99.0, "judge", "a reason to PROMOTE")


def test_a_rollback_takes_all_traffic_back_from_any_phase() -> None:
    """ROLLBACK ends a rollout in each phase that is not over."""
    for phase in (Phase.SHADOW, Phase.STEP, Phase.PAUSED, Phase.WAITING_APPROVAL, Phase.WATCHING):
        rollout = at_step(2).model_copy(update={"phase": phase})
        rollout = given_verdict(Kind.ROLLBACK)(rollout)
        assert (rollout.phase, rollout.share) == (Phase.ROLLED_BACK, 0.0)


def test_continue_changes_nothing() -> None:
    """A CONTINUE verdict returns the same rollout object."""
    rollout = at_step(2)
    assert given_verdict(Kind.CONTINUE)(rollout) is rollout


def test_without_a_decision_the_baseline_stays() -> None:
    """INCONCLUSIVE gives the baseline all traffic."""
    rollout = given_verdict(Kind.INCONCLUSIVE)(at_step(4))
    assert (rollout.phase, rollout.share) == (Phase.INCONCLUSIVE, 0.0)


def test_without_a_decision_it_may_wait_for_a_person() -> None:
    """With `inconclusive: pause` the rollout pauses with its share."""
    rollout = given_verdict(Kind.INCONCLUSIVE)(at_step(4, Policy(inconclusive="pause")))
    assert (rollout.phase, rollout.share) == (Phase.PAUSED, 0.5)
    assert given_verdict(Kind.INCONCLUSIVE)(rollout) is rollout


def test_a_gate_waits_for_an_approval() -> None:
    """A step with approval waits with its share until a person promotes it."""
    waiting = given_verdict(Kind.PROMOTE)(at_step(1, GATED))
    assert (waiting.phase, waiting.share) == (Phase.WAITING_APPROVAL, 0.1)
    assert given_verdict(Kind.PROMOTE)(waiting) is waiting
    approved = promote(waiting, "ann", 50.0)
    assert (approved.phase, approved.share, approved.by, approved.reason) == (
        Phase.STEP,
        0.5,
        "ann",
        "approved",
    )


def test_paused_means_that_no_evidence_moves_it_on() -> None:
    """A paused rollout ignores verdicts until it is resumed at the same step."""
    paused = pause(at_step(3), "ann")
    assert given_verdict(Kind.PROMOTE)(paused) is paused
    assert resume(paused, "bob").model_copy(update={"by": "ann", "reason": "started"}) == at_step(
        3
    ).model_copy(update={"by": "ann", "reason": "started"})


def test_a_pause_does_not_lose_an_approval_gate() -> None:
    """After a pause, the evidence asks for the approval again."""
    waiting = given_verdict(Kind.PROMOTE)(at_step(1, GATED))
    resumed = resume(pause(waiting, "ann"), "ann")
    assert given_verdict(Kind.PROMOTE)(resumed).phase is Phase.WAITING_APPROVAL


def test_an_abort_gives_everything_back() -> None:
    """An abort gives all traffic to the baseline and has its author."""
    rollout = abort(at_step(4), "ann")
    assert (rollout.phase, rollout.share, rollout.by, rollout.reason) == (
        Phase.ROLLED_BACK,
        0.0,
        "ann",
        "aborted",
    )


def test_without_a_watch_the_last_step_leads_to_the_end() -> None:
    """With `watch_s: 0`, a promotion from the last step gives DONE."""
    assert given_verdict(Kind.PROMOTE)(at_step(5, Policy(watch_s=0))).phase is Phase.DONE


def test_the_watch_counts_its_own_time() -> None:
    """The watch records its own start."""
    rollout = given_verdict(Kind.PROMOTE, 99.0)(at_step(5))
    assert (rollout.phase, rollout.step, rollout.share, rollout.entered_s) == (Phase.WATCHING, 5, 1.0, 99.0)


def test_a_watch_that_is_aborted_gives_everything_back() -> None:
    """An abort of the watch gives all traffic to the baseline."""
    watched = given_verdict(Kind.PROMOTE)(at_step(5))
    assert (abort(watched, "ann").phase, abort(watched, "ann").share) == (Phase.ROLLED_BACK, 0.0)


def test_a_watch_may_be_ended_by_a_person() -> None:
    """A person can end the watch with a promotion or by setting routes."""
    watched = given_verdict(Kind.PROMOTE)(at_step(5))
    assert (promote(watched, "ann", 9.0).phase, promote(watched, "ann", 9.0).share) == (Phase.DONE, 1.0)
    ended = end_watch(watched, "ann", "other routes")
    assert (ended.phase, ended.by, ended.reason) == (Phase.DONE, "ann", "other routes")


@pytest.mark.parametrize(
    ("action", "phase"),
    [
        (lambda rollout: pause(rollout, "ann"), Phase.PAUSED),
        (lambda rollout: pause(rollout, "ann"), Phase.WATCHING),
        (lambda rollout: end_watch(rollout, "ann", "other routes"), Phase.STEP),
        (lambda rollout: resume(rollout, "ann"), Phase.STEP),
        (lambda rollout: promote(rollout, "ann", 1.0), Phase.DONE),
        (lambda rollout: abort(rollout, "ann"), Phase.ROLLED_BACK),
    ],
)
def test_what_does_not_fit_the_phase_is_refused(action: Move, phase: Phase) -> None:
    """The error names the phase and those in which the action is possible."""
    rollout = at_step(2).model_copy(update={"phase": phase})
    with pytest.raises(RefusedAction, match=f"in phase {phase}; this is possible only in") as refused:
        action(rollout)
    assert refused.value.status == 409
