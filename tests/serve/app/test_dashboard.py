"""The dashboard's files over HTTP."""

import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

import serve.dashboard
from serve.app.dashboard import dashboard_routes
from serve.rollout.judging.guard_figure import INTERVAL_ALPHA

FOLDER = Path(next(iter(serve.dashboard.__path__)))


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(Starlette(routes=dashboard_routes()))


def test_the_page_stands_at_the_root(client: TestClient) -> None:
    """The path / returns the dashboard as HTML."""
    answer = client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.content == (FOLDER / "index.html").read_bytes()


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("main.js", "text/javascript; charset=utf-8"),
        ("parts.css", "text/css; charset=utf-8"),
        ("mark.svg", "image/svg+xml"),
    ],
)
def test_a_file_says_what_it_is(client: TestClient, name: str, media_type: str) -> None:
    """Each file has its media type and `nosniff`."""
    answer = client.get(f"/dashboard/{name}")
    assert answer.headers["content-type"] == media_type
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_every_file_is_served(client: TestClient) -> None:
    """Each file of the dashboard's folder is served with 200."""
    names = [path.name for path in FOLDER.iterdir()]
    assert {client.get(f"/dashboard/{name}").status_code for name in names} == {200}


@pytest.mark.parametrize("name", ["secret.js", "..%2fapi.py", "..%2f..%2fpyproject.toml", "%2fetc%2fpasswd"])
def test_no_other_file_is_served(client: TestClient, name: str) -> None:
    """Names outside the folder give 404."""
    assert client.get(f"/dashboard/{name}").status_code == 404


def test_a_file_that_is_known_is_not_sent_again(client: TestClient) -> None:
    """A file with a known ETag gives 304."""
    first = client.get("/dashboard/main.js")
    assert first.headers["cache-control"] == "no-cache"
    again = client.get("/dashboard/main.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_browser_is_told_to_take_nothing_from_elsewhere(client: TestClient) -> None:
    """The page may load and frame nothing from other hosts, and the browser sends no referrer."""
    headers = client.get("/").headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert {policy[f"{what}-src"] for what in ("script", "style", "connect", "img")} == {"'self'"}
    assert headers["referrer-policy"] == "no-referrer"


def test_nothing_that_came_is_read_as_markup() -> None:
    """The scripts use no function that parses text as HTML or code."""
    ways = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function")
    assert [path.name for path in FOLDER.glob("*.js") if ways.search(path.read_text())] == []


def test_the_page_says_how_sure_its_intervals_are() -> None:
    """The page states the confidence of its intervals, which is that of the judge."""
    script = (FOLDER / "evidence.js").read_text()
    assert f"{100 * (1 - INTERVAL_ALPHA):g}\\u202f% intervals" in script
