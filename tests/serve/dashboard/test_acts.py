"""The acts of the dashboard, and what the server receives."""

import pytest
from playwright.sync_api import expect

from serve.rollout.api_records import ActRequest, RolloutRequest, RoutesRequest
from serve.rollout.state.policy import Policy, Step
from tests.serve.dashboard.conftest import Open, Visit

ROLLOUT = "linear-20261122-152000-3f9a"


def number_of(visit: Visit) -> int:
    """Return the number of the rollout's last entry."""
    number: int = visit.control.keeper.command("view", ROLLOUT).number
    return number


def test_abort_asks_first(visit: Open) -> None:
    """The dialog says what an abort does, and nothing is sent before the confirmation."""
    page = visit("step")
    page.press("Abort …")
    expect(page.page.get_by_role("dialog")).to_contain_text("All traffic goes to base at once")
    assert page.control.told == []


def test_abort_is_sent_with_the_number(visit: Open) -> None:
    """The abort carries the entry's number, so that the server can refuse it if something changed."""
    page = visit("step")
    number = number_of(page)
    page.press("Abort …")
    page.press("Abort")
    expect(page.state).to_contain_text("local aborted it.")
    assert page.control.told == [("act", ROLLOUT, "abort", ActRequest(number=number), "local")]


def test_a_reason_for_an_abort_is_told(visit: Open) -> None:
    """The sentence and the timeline show the reason and who gave it."""
    page = visit("step")
    page.press("Abort …")
    page.page.get_by_label("Reason, for the timeline").fill("wrong prices")
    page.press("Abort")
    expect(page.state).to_contain_text("local aborted it: wrong prices.")
    expect(page.card("Timeline")).to_contain_text("by local: wrong prices")


def test_cancel_does_nothing(visit: Open) -> None:
    """Cancel closes the dialog and sends nothing."""
    page = visit("step")
    page.press("Abort …")
    page.press("Cancel")
    expect(page.page.get_by_role("dialog")).to_have_count(0)
    assert page.control.told == []


def test_pause_and_resume_are_one_press_each(visit: Open) -> None:
    """Pause and resume need no confirmation."""
    page = visit("step")
    page.press("Pause")
    expect(page.state).to_contain_text("light is paused at 25 % of the traffic.")
    page.press("Resume")
    expect(page.state).to_contain_text("Rolling out light")
    assert [told[2] for told in page.control.told] == ["pause", "resume"]


def test_promote_says_from_where_to_where(visit: Open) -> None:
    """The dialog gives the old and the new share and says that promoting skips the evidence."""
    page = visit("step")
    page.press("Promote to 50 % …")
    said = "light goes from 25 % to 50 % of the traffic. This skips the evidence."
    expect(page.page.get_by_role("dialog")).to_contain_text(said)
    page.press("Promote to 50 %")
    expect(page.state).to_contain_text("step 4 of 5, 50 % of the traffic")


def test_the_winner_is_made_the_baseline(visit: Open) -> None:
    """Accepting needs a confirmation, and is shown in the sentence and the timeline."""
    page = visit("done")
    page.press("Make light the baseline …")
    said = "The next rollout starts from light"
    expect(page.page.get_by_role("dialog")).to_contain_text(said)
    page.press("Make it the baseline")
    expect(page.state).to_contain_text("It is the baseline now, by local.")
    expect(page.card("Timeline")).to_contain_text("Accepted as the baseline")
    expect(page.page.get_by_role("button", name="Make light the baseline …")).to_have_count(0)


def test_a_stale_number_shows_the_new_state(visit: Open) -> None:
    """If the rollout was paused meanwhile, the abort does nothing and the page shows the new state."""
    page = visit("step")
    page.press("Abort …")
    page.control.keeper.act("pause", "bob")
    page.press("Abort")
    expect(page.page.get_by_role("alert")).to_contain_text("Nothing was done")
    expect(page.state).to_contain_text("light is paused")


def test_a_rollout_starts_with_the_default_policy(visit: Open) -> None:
    """A rollout starts with the candidate alone and the default policy."""
    page = visit("aborted")
    page.press("Start a rollout …")
    page.press("Start")
    expect(page.state).to_contain_text("light is in the shadow")
    assert page.control.told[0] == ("start", "linear", RolloutRequest(candidate="light"), "local")


def test_a_rollout_starts_with_a_policy_of_ones_own(visit: Open) -> None:
    """A rollout can be started with a policy in JSON."""
    page = visit("aborted")
    page.press("Start a rollout …")
    page.page.get_by_label("My own, as JSON.").check()
    page.page.get_by_label("Policy as JSON").fill('{"steps": [{"share": 0.1}, {"share": 1.0}]}')
    page.press("Start")
    expect(page.state).to_contain_text("light is in the shadow")
    policy = Policy(steps=(Step(share=0.1), Step(share=1.0)))
    assert page.control.told[0] == (
        "start",
        "linear",
        RolloutRequest(candidate="light", policy=policy),
        "local",
    )


@pytest.mark.parametrize(
    ("policy", "said"),
    [("steps: []", "The policy is not JSON"), ('{"stepps": []}', "did you mean 'steps'?")],
    ids=["not JSON", "refused"],
)
def test_a_policy_that_does_not_fit_is_answered_in_the_form(visit: Open, policy: str, said: str) -> None:
    """The form shows the error of an invalid policy and keeps the text that was typed."""
    page = visit("aborted")
    page.press("Start a rollout …")
    page.page.get_by_label("My own, as JSON.").check()
    page.page.get_by_label("Policy as JSON").fill(policy)
    page.press("Start")
    expect(page.page.get_by_role("dialog").get_by_role("alert")).to_contain_text(said)
    assert page.page.get_by_label("Policy as JSON").input_value() == policy


def test_routes_are_set_with_their_revision(visit: Open) -> None:
    """The page sends all weights, the shadow as a share, and the revision that was read."""
    page = visit("none")
    page.press("Set routes …")
    page.page.get_by_label("Weight of base").fill("9")
    page.page.get_by_label("Percent copied to light").fill("7")
    page.press("Set routes")
    expect(page.page.get_by_role("dialog")).to_have_count(0)
    wanted = RoutesRequest(
        weights={"base": 9.0, "light": 0.0}, shadows={"light": 0.07}, sticky="x-counterweight-key", revision=1
    )
    assert page.control.told == [("set_routes", "linear", wanted, "local")]
    assert page.control.keeper.routes.shadows == {"light": 0.07}


def test_much_traffic_moves_only_when_it_is_said_twice(visit: Open) -> None:
    """Moving 75 % of the traffic needs a second press."""
    page = visit("done")
    page.press("Set routes …")
    page.page.get_by_label("Weight of base").fill("1")
    page.page.get_by_label("Weight of light").fill("3")
    page.press("Set routes")
    fault = page.page.get_by_role("dialog").get_by_role("alert")
    expect(fault).to_contain_text("This moves 75\u202f% of the traffic at once.")
    assert page.control.told == []
    page.press("Set routes")
    expect(fault).to_contain_text("routes were read with revision 1")
    assert [told[0] for told in page.control.told] == ["set_routes"]


def test_a_replay_tells_its_result(visit: Open) -> None:
    """The timeline shows that all six verdicts of the replay are the same."""
    page = visit("done")
    page.press("Replay")
    expect(page.card("Timeline")).to_contain_text("6 verdicts computed again: all are the same")


def test_a_replay_names_what_was_changed(visit: Open) -> None:
    """A replay after a change of the store names the entry."""
    page = visit("done")
    keeper = page.control.keeper
    keeper.forge("promoted", "demoted")
    page.press("Replay")
    expect(page.card("Timeline")).to_contain_text(f"entry {keeper.state.present.number} was changed")
