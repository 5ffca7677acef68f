"""The token that a server asks for."""

import hashlib

import pytest
from playwright.sync_api import expect

from serve.base.access import Access, Grant, Role
from tests.serve.dashboard.conftest import Open

TOKENS: dict[Role, str] = {"operate": "0123456789abcdef-operate", "view": "0123456789abcdef-view"}


@pytest.fixture(scope="module")
def access() -> Access:
    """Tokens of two people: one may view, the other operate."""
    grants = tuple(
        Grant(name=f"{role}r", role=role, digest=hashlib.sha256(token.encode()).hexdigest())
        for role, token in TOKENS.items()
    )
    return Access(grants=grants, loopback=True)


def test_a_server_that_wants_a_token_gets_it(visit: Open) -> None:
    """The page asks for a token and then shows the state."""
    page = visit("step")
    page.page.get_by_role("dialog").get_by_label("Token").fill(TOKENS["view"])
    page.press("Use it")
    expect(page.state).to_contain_text("Rolling out light")


def test_a_wrong_token_is_asked_for_again(visit: Open) -> None:
    """After a wrong token, the dialog shows the server's error."""
    page = visit("step")
    page.page.get_by_role("dialog").get_by_label("Token").fill("wrong" * 5)
    page.press("Use it")
    fault = page.page.get_by_role("dialog").get_by_role("alert")
    expect(fault).to_contain_text("does not know the token")


def test_who_may_only_look_is_told_so(visit: Open) -> None:
    """With the role `view`, an act shows the server's refusal and changes nothing."""
    page = visit("step")
    page.page.get_by_role("dialog").get_by_label("Token").fill(TOKENS["view"])
    page.press("Use it")
    page.press("Pause")
    expect(page.page.get_by_role("alert")).to_contain_text("has the role view")
    assert page.control.told == []


def test_the_trail_names_whose_token_it_was(visit: Open) -> None:
    """The trail has the name of the token, not the token."""
    page = visit("step")
    page.page.get_by_role("dialog").get_by_label("Token").fill(TOKENS["operate"])
    page.press("Use it")
    page.press("Pause")
    expect(page.card("Timeline")).to_contain_text("by operater")


def test_the_token_is_kept_in_the_tab_only(visit: Open) -> None:
    """The token survives a reload and is in no cookie and not in local storage."""
    page = visit("step")
    page.page.get_by_role("dialog").get_by_label("Token").fill(TOKENS["view"])
    page.press("Use it")
    expect(page.state).to_be_visible()
    page.page.reload()
    expect(page.state).to_be_visible()
    assert page.page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
