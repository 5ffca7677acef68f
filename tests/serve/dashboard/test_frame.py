"""The page on a phone, without other hosts, without the server and without a mouse."""

import pytest
from playwright.sync_api import expect

from tests.serve.dashboard.conftest import Open
from tests.serve.rollout_stages import Stage


@pytest.mark.parametrize("stage", ["shadow", "rolled back"])
def test_a_phone_needs_no_scrolling_sideways(visit: Open, stage: Stage) -> None:
    """A page that is 360 pixels wide does not scroll sideways, even with the longest variant name."""
    page = visit(stage, candidate="light" + 58 * "x", width=360)
    expect(page.state).to_be_visible()
    assert page.page.evaluate("document.documentElement.scrollWidth") == 360


def test_the_browser_finds_nothing_to_complain_of(visit: Open) -> None:
    """The browser reports no error and no violation of the content security policy."""
    page = visit("step")
    page.press("Abort …")
    page.press("Cancel")
    page.press("Replay")
    expect(page.card("Timeline")).to_contain_text("computed again")
    page.page.locator(".plot svg").first.hover()
    assert page.complaints == []


def test_nothing_comes_from_elsewhere(visit: Open) -> None:
    """The page requests only its own server."""
    page = visit("step")
    expect(page.state).to_be_visible()
    assert [url for url in page.asked if not url.startswith(f"{page.endpoint.url}/")] == []


def test_the_page_looks_again_by_itself(visit: Open) -> None:
    """The page shows a change of the rollout without a reload."""
    page = visit("step")
    expect(page.state).to_contain_text("Rolling out light")
    page.control.come_to("done")
    expect(page.state).to_contain_text("light was promoted")


def test_without_an_answer_the_last_picture_stays(visit: Open) -> None:
    """If the server does not answer, the last state stays on the page, marked as stale."""
    page = visit("step")
    expect(page.state).to_be_visible()
    page.page.context.set_offline(True)
    expect(page.page.get_by_role("alert")).to_contain_text("The server does not answer")
    expect(page.page.locator("main.stale #state")).to_contain_text("Rolling out light")


def test_it_comes_back_by_itself(visit: Open) -> None:
    """The alert disappears when the server answers again."""
    page = visit("step")
    page.page.context.set_offline(True)
    expect(page.page.get_by_role("alert")).to_be_visible()
    page.page.context.set_offline(False)
    expect(page.page.get_by_role("alert")).to_have_count(0)


def test_what_the_server_refuses_is_shown_in_its_words(visit: Open) -> None:
    """An error of the server is shown with its message."""
    page = visit("step")
    page.control.error = RuntimeError("broken")
    expect(page.page.get_by_role("alert")).to_contain_text("The server says: internal error: RuntimeError")


def test_a_rollout_can_be_aborted_without_a_mouse(visit: Open) -> None:
    """With the keyboard alone a rollout is aborted; the dialog focuses Cancel first."""
    page = visit("step")
    page.page.get_by_role("button", name="Abort …").focus()
    page.page.keyboard.press("Enter")
    expect(page.page.get_by_role("button", name="Cancel")).to_be_focused()
    page.page.keyboard.press("Tab")
    page.page.keyboard.press("Enter")
    expect(page.state).to_contain_text("local aborted it.")


def test_what_is_focused_stays_so_while_the_page_looks_again(visit: Open) -> None:
    """A refresh of the page keeps the focus on the same button."""
    page = visit("step")
    button = page.page.get_by_role("button", name="Pause")
    button.focus()
    with page.page.expect_request("**/control/models"):
        pass
    with page.page.expect_response("**/trail?*"):
        pass
    expect(button).to_be_focused()
