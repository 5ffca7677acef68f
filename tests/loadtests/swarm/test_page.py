import json
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.loadtests.known_server import MODEL, Behaviour, open_known

TIMEOUT_MS = 60_000


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A tab of Debian's chromium."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium here; apt-get install chromium")
    with sync_playwright() as playwright:
        # Containers run as root, where its sandbox does not work.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        yield page
        browser.close()


def test_a_load_is_started_and_stopped_on_locusts_page(page: Page, start_locust: Any, tmp_path: Path) -> None:
    """Locust's page has our options and a row per variant, and stopping the test writes the report."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    report = tmp_path / "report.json"
    with open_known(a=Behaviour(), b=Behaviour()) as url:
        start_locust(url, "--web-host", "127.0.0.1", "--web-port", port, "--report", str(report))
        _await_page(f"http://127.0.0.1:{port}/")
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_text("Custom parameters").click()
        page.locator("input[name=model]").fill(MODEL)
        page.locator("input[name=rate]").fill("50")
        page.locator("input[name=warmup]").fill("0")
        page.get_by_role("button", name="Start").click()
        for variant in ("a", "b"):
            expect(page.get_by_text(f"infer[{variant}]").first).to_be_visible(timeout=TIMEOUT_MS)
        page.get_by_role("button", name="Stop").click()
        _await_file(report)
    written = json.loads(report.read_text())
    assert written["requests"] > 0
    assert written["plan"]["profile"][0] == [0, 50]
    assert set(written["variants"]) == {"a", "b"}


def _await_page(url: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            urlopen(url).close()
            return
        except URLError:
            time.sleep(0.1)
    pytest.fail(f"{url} was not there within two minutes")


def _await_file(path: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if path.exists():
            return
        time.sleep(0.1)
    pytest.fail(f"{path} was not written within two minutes")
