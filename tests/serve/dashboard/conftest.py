"""A real browser, a real HTTP server and a keeper behind it."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from serve.base.access import Access
from tests.serve.endpoint import Endpoint
from tests.serve.local_control import LocalControl
from tests.serve.rollout_stages import Stage

# The page looks again after a second; anything that takes longer than this never comes.
TIMEOUT_MS = 30_000
# A violation of the content security policy is an error, too.
LOUD = ("error", "warning")


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A visit of the dashboard with a browser."""

    page: Page
    endpoint: Endpoint
    # The browser's complaints.
    complaints: list[str] = field(default_factory=list)
    # Every URL that the page requested.
    asked: list[str] = field(default_factory=list)

    @property
    def control(self) -> LocalControl:
        """The control that the server uses."""
        return self.endpoint.control

    @property
    def state(self) -> Locator:
        """The sentence at the top of the page."""
        return self.page.locator("#state")

    def card(self, title: str) -> Locator:
        """The part of the page with that title."""
        return self.page.get_by_role("region", name=title, exact=True)

    def press(self, name: str) -> None:
        """Press the button with that name."""
        self.page.get_by_role("button", name=name, exact=True).click()


Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A tab of Debian's chromium, for one module only: while it runs, no other test can run an event loop."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium here; apt-get install chromium")
    with sync_playwright() as playwright:
        # Containers run as root, where the browser's sandbox does not work.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        expect.set_options(timeout=TIMEOUT_MS)
        yield page
        browser.close()


@pytest.fixture(scope="module")
def access() -> Access:
    """Access without tokens."""
    return Access(loopback=True)


@pytest.fixture(scope="module")
def endpoint(module_repository: Path, access: Access) -> Iterator[Endpoint]:
    """A server over `linear`."""
    with Endpoint(repository=module_repository, access=access) as endpoint:
        yield endpoint


@pytest.fixture
def visit(page: Page, endpoint: Endpoint) -> Iterator[Open]:
    """Opens the dashboard as if in a new tab; the last rollout has come to the given stage."""
    visit = Visit(page=page, endpoint=endpoint)
    listeners: dict[Any, Callable[[Any], None]] = {
        "console": lambda said: visit.complaints.extend([said.text] if said.type in LOUD else []),
        "pageerror": lambda error: visit.complaints.append(str(error)),
        "request": lambda request: visit.asked.append(request.url),
    }
    for event, listener in listeners.items():
        page.on(event, listener)

    def start(stage: Stage | None = None, *, candidate: str | None = None, width: int = 1280) -> Visit:
        if stage is not None:
            endpoint.control.come_to(stage, candidate=candidate)
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(endpoint.url)
        page.locator("#pulse.on, #pulse.off").wait_for()
        return visit

    yield start
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
    page.context.set_offline(False)
    page.evaluate("sessionStorage.clear()")
    page.goto("about:blank")
