import re
from html.parser import HTMLParser

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from serve.app.docs_page import docs_routes, render
from serve.app.openapi import openapi

VOID = {"meta", "br", "hr", "img", "link"}


class Page(HTMLParser):
    """What a browser would read, and whether every element is closed."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.loaded: list[str] = []
        self.text = ""
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.add(str(value))
            if name in ("src", "href"):
                (self.links if tag == "a" else self.loaded).append(str(value))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(openapi()))


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=docs_routes()), base_url="http://models.example:9000")


def test_every_operation_is_on_the_page(page: Page) -> None:
    """The page shows the path and the summary of each operation."""
    for path, methods in openapi()["paths"].items():
        assert path in page.text
        for operation in methods.values():
            assert operation["summary"] in page.text


def test_the_page_is_whole(page: Page) -> None:
    """Each element of the page is closed, and each link leads to a place on it or to the document."""
    assert page.open == []
    assert {link.removeprefix("#") for link in page.links} - page.ids == {"openapi.json"}


def test_the_page_needs_nothing_else(page: Page) -> None:
    """The page has no script and loads no font or other file."""
    assert page.loaded == []
    assert "<script" not in render(openapi())


def test_a_command_can_be_copied(page: Page) -> None:
    """Each request is shown as one curl command."""
    assert (
        "curl http://127.0.0.1:8000/v2/models/digits/infer \\\n  -H 'content-type: application/json' -d '{"
        in page.text
    )
    assert "curl http://127.0.0.1:8000/v2/models/digits/versions/fp32/stats" in page.text


def test_a_command_names_the_method_that_is_not_its_default(page: Page) -> None:
    """The curl command names a method other than POST."""
    assert "curl -X PUT http://127.0.0.1:8000/control/models/digits/routes \\\n" in page.text


def test_a_parameter_says_where_it_stands(page: Page) -> None:
    """The page says of each parameter whether it stands in the path, in the query or in a header."""
    assert "modelstring in the path" in page.text
    assert "afterinteger in the query" in page.text
    assert "x-counterweight-keystring, a header" in page.text


def test_what_the_document_says_is_never_markup() -> None:
    """A description that looks like an HTML element is escaped."""
    document = openapi()
    document["info"]["description"] = "Less than <b> is `<i>`."
    assert "Less than &lt;b&gt; is <code>&lt;i&gt;</code>." in render(document)


def test_commands_name_the_server_as_the_reader_does(client: TestClient) -> None:
    """The example commands name the host from which the reader loaded the page."""
    answer = client.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "curl http://models.example:9000/v2/health/live" in answer.text
    assert "127.0.0.1" not in answer.text


def test_a_forged_host_is_no_markup(client: TestClient) -> None:
    """A host header with markup is escaped."""
    answer = client.get("/docs", headers={"host": 'x"><script>alert(1)</script>'})
    assert "<script" not in answer.text


def test_the_browser_is_told_to_run_nothing(client: TestClient) -> None:
    """The content security policy of the page is `default-src 'none'`."""
    assert "default-src 'none'" in client.get("/docs").headers["content-security-policy"]


def test_the_document_is_served(client: TestClient) -> None:
    """`/openapi.json` returns the OpenAPI document unchanged, for programs."""
    assert client.get("/openapi.json").json() == openapi()


def test_a_quote_in_an_example_ends_no_word_of_the_command() -> None:
    """A quote in an example is escaped for the shell in the curl command."""
    document = openapi()
    body = document["paths"]["/v1/embeddings"]["post"]["requestBody"]["content"]["application/json"]
    body["examples"] = {"one": {"summary": "One", "value": {"input": "it's"}}}
    assert re.search(r"-d '\{\"input\": \"it'\\''s\"\}'", Page(render(document)).text)
