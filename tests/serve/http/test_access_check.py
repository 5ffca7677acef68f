"""Which requests are admitted with which token."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from serve.app.openapi import openapi
from serve.base.access import Access, read_grants
from serve.base.settings import Settings
from serve.observe.access_log import AccessLog
from serve.observe.observer import Observer
from tests.serve.endpoint import Endpoint

TOKENS = {
    "ann": ("operate", "operate-9f2c61d07be4"),
    "eve": ("view", "view-3b8810ce47a9"),
    "app": ("infer", "infer-77d1f0e2c3b5"),
}
ROW = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1] * 4}]}
QUALIFIED = {
    "candidate": "light",
    "baseline": "base",
    "digests": {"base": "a" * 64, "light": "b" * 64},
    "outcome": "QUALIFIED",
    "stages": [{"name": "capacity", "outcome": "PASS"}],
}
ROLLOUT = "linear-20261122-152000-3f9a"
LOOK: list[tuple[str, str, Any]] = [
    ("GET", "/control/models", None),
    ("GET", "/control/models/linear", None),
    ("GET", "/control/models/linear/routes", None),
    ("GET", "/control/models/linear/rollouts", None),
    ("GET", "/control/models/linear/trail", None),
    ("GET", "/control/models/linear/curves", None),
    ("GET", "/control/models/linear/bundles", None),
    ("GET", "/control/models/linear/qualifications", None),
    ("GET", f"/control/rollouts/{ROLLOUT}", None),
    ("GET", f"/control/rollouts/{ROLLOUT}/replay", None),
    ("POST", "/control/weigh", {"share": 0.5, "ticks": []}),
    ("GET", "/metrics", None),
]
CHANGE: list[tuple[str, str, Any]] = [
    ("PUT", "/control/models/linear/routes", {}),
    ("POST", "/control/models/linear/rollouts", {"candidate": "light"}),
    *(
        ("POST", f"/control/rollouts/{ROLLOUT}/{act}", {})
        for act in ("pause", "resume", "promote", "abort", "accept")
    ),
    ("POST", "/control/models/linear/qualifications", QUALIFIED),
    ("POST", "/control/models/linear/feedback", {"outcomes": []}),
    ("POST", "/v2/repository/models/linear/load", {}),
    ("POST", "/v2/repository/models/linear/unload", {}),
]
ASK: list[tuple[str, str, Any]] = [
    ("POST", "/v2/models/linear/infer", ROW),
    ("POST", "/v2/models/linear/versions/base/infer", ROW),
    ("POST", "/v1/embeddings", {"model": "linear", "input": "a"}),
    ("GET", "/v2", None),
    ("GET", "/v2/models/linear", None),
    ("GET", "/v2/models/linear/config", None),
    ("GET", "/v2/models/linear/stats", None),
    ("GET", "/v2/models/stats", None),
]
OPEN = ["/v2/health/live", "/v2/health/ready", "/v2/models/linear/ready", "/docs", "/openapi.json"]


def grants(folder: Path, *names: str) -> Any:
    """The tokens of these people, as the server keeps them."""
    path = folder / "tokens.yaml"
    path.write_text(yaml.safe_dump([{"name": n, "role": TOKENS[n][0], "token": TOKENS[n][1]} for n in names]))
    return read_grants(path)


def of(name: str) -> dict[str, str]:
    """Return the authorization header of this person."""
    return {"authorization": f"Bearer {TOKENS[name][1]}"}


@pytest.fixture(scope="module")
def guarded(module_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A server on a public address with a token per role."""
    access = Access(grants=grants(tmp_path_factory.mktemp("tokens"), *TOKENS), loopback=False)
    settings = Settings(control_writes_per_s=1e6)
    with Endpoint(repository=module_repository, access=access, settings=settings) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def closed(module_repository: Path) -> Iterator[Endpoint]:
    """A server on a public address without tokens."""
    with Endpoint(repository=module_repository, access=Access(loopback=False)) as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def _forget(request: pytest.FixtureRequest) -> None:
    if "guarded" in request.fixturenames:
        request.getfixturevalue("guarded").control.forget()


def refused(answer: httpx2.Response, status: int) -> bool:
    """Return whether the answer is an error of that status in our format."""
    return answer.status_code == status and set(answer.json()) == {"error"}


def test_nothing_of_the_control_api_is_forgotten(guarded: Endpoint) -> None:
    """Each documented operation of the control API and the metrics gives 401 without a token."""
    asked = [
        guarded.client.request(method, path)
        for path, methods in openapi()["paths"].items()
        if path.startswith(("/control", "/metrics"))
        for method in methods
    ]
    assert len(asked) == len(LOOK) + len(CHANGE) - 2
    assert all(refused(answer, 401) for answer in asked)


@pytest.mark.parametrize(("method", "path", "body"), LOOK)
def test_looking_needs_a_token(guarded: Endpoint, method: str, path: str, body: Any) -> None:
    """Reading needs the role view or operate: another role gives 403, no token or a wrong one 401."""
    ask = partial(guarded.client.request, method, path, json=body)
    assert [ask(headers=of(name)).status_code for name in ("eve", "ann")] == [200, 200]
    assert refused(ask(headers=of("app")), 403)
    assert refused(ask(headers={"authorization": "Bearer operate-9f2c61d07be5"}), 401)
    assert refused(answer := ask(), 401)
    assert answer.headers["www-authenticate"] == 'Bearer realm="counterweight"'


@pytest.mark.parametrize(("method", "path", "body"), CHANGE)
def test_changing_needs_a_token_to_operate(guarded: Endpoint, method: str, path: str, body: Any) -> None:
    """Changing needs the role operate; with any other role nothing changes."""
    for headers, status in (({}, 401), (of("eve"), 403), (of("app"), 403)):
        assert refused(guarded.client.request(method, path, json=body, headers=headers), status)
    assert (guarded.control.told, guarded.shelf.told) == ([], [])
    # The request is allowed; whether it succeeds depends on the state.
    assert guarded.client.request(method, path, json=body, headers=of("ann")).status_code in (200, 201, 409)
    guarded.shelf.told.clear()


@pytest.mark.parametrize(("method", "path", "body"), ASK)
def test_asking_needs_a_token_where_one_is_for_that(
    guarded: Endpoint, method: str, path: str, body: Any
) -> None:
    """With tokens, inference needs the role infer or operate; `linear` answers 400 to embeddings."""
    statuses = [
        guarded.client.request(method, path, json=body, headers=headers).status_code
        for headers in ({}, of("eve"), of("app"), of("ann"))
    ]
    known = 400 if path == "/v1/embeddings" else 200
    assert statuses == [401, 403, known, known]


def test_openais_clients_hear_it_in_their_form(guarded: Endpoint) -> None:
    """A 401 for OpenAI's route has OpenAI's error format and a `www-authenticate` header."""
    answer = guarded.client.post("/v1/embeddings", json={"model": "linear", "input": "a"})
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", OPEN)
def test_health_and_documents_are_open(guarded: Endpoint, closed: Endpoint, path: str) -> None:
    """Health routes and documents need no token."""
    assert guarded.client.get(path).status_code == 200
    assert closed.client.get(path).status_code == 200


def test_who_did_it_is_told(guarded: Endpoint) -> None:
    """The control API gets the token's name as the author."""
    guarded.client.post(f"/control/rollouts/{ROLLOUT}/pause", json={}, headers=of("ann"))
    assert guarded.control.told[0][-1] == "ann"


@pytest.mark.parametrize(("method", "path", "body"), LOOK)
def test_without_tokens_nobody_looks_from_elsewhere(
    closed: Endpoint, method: str, path: str, body: Any
) -> None:
    """On a public address without tokens, reading gives 403 and the error names `--tokens`."""
    answer = closed.client.request(method, path, json=body)
    assert refused(answer, 403)
    assert "start it with --tokens FILE" in answer.json()["error"]


@pytest.mark.parametrize(("method", "path", "body"), CHANGE)
def test_without_tokens_nobody_changes_anything_from_elsewhere(
    closed: Endpoint, method: str, path: str, body: Any
) -> None:
    """On a public address without tokens, any token is refused for changes."""
    assert refused(closed.client.request(method, path, json=body, headers=of("ann")), 403)
    assert (closed.control.told, closed.shelf.told) == ([], [])


def test_models_answer_everybody_all_the_same(closed: Endpoint) -> None:
    """On a public address without tokens inference and the index are open."""
    assert closed.client.post("/v2/models/linear/infer", json=ROW).status_code == 200
    assert closed.client.post("/v2/repository/index").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": ""},
        {"host": "evil.example"},
        {"host": "evil.example:8000", "origin": "http://evil.example:8000"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "[127.0.0.1"},
    ],
    ids=str,
)
def test_a_page_of_another_site_gets_nothing(endpoint: Endpoint, headers: Mapping[str, str]) -> None:
    """A request from another site's page gives 403 and changes nothing."""
    answers = [
        endpoint.client.request(verb, path, json=body, headers=headers) for verb, path, body in LOOK + CHANGE
    ]
    assert all(refused(answer, 403) for answer in answers)
    assert (endpoint.control.told, endpoint.shelf.told) == ([], [])


@pytest.mark.parametrize("site", ["same-origin", "none"])
@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
def test_our_own_page_may_ask(endpoint: Endpoint, host: str, site: str) -> None:
    """A page of the same origin may read, under each name of this machine."""
    headers = {"host": host, "origin": f"http://{host.lower()}", "sec-fetch-site": site}
    assert endpoint.client.get("/control/models", headers=headers).status_code == 200


def test_with_tokens_the_server_may_have_any_name(guarded: Endpoint) -> None:
    """With tokens the host may have any name, but a request from another origin gives 403."""
    ours = {"host": "models.example", "origin": "https://models.example"}
    assert guarded.client.get("/control/models", headers=ours | of("eve")).status_code == 200
    theirs = ours | {"origin": "https://evil.example"}
    assert guarded.client.get("/control/models", headers=theirs | of("eve")).status_code == 403


def test_inference_may_come_from_anywhere(endpoint: Endpoint) -> None:
    """An inference request may come from any origin."""
    headers = {"host": "models.example", "origin": "http://other.example", "sec-fetch-site": "cross-site"}
    assert endpoint.client.post("/v2/models/linear/infer", json=ROW, headers=headers).status_code == 200


def test_too_many_changes_are_429(module_repository: Path) -> None:
    """Too many changes give 429 with `retry-after`; feedback and reading have limits of their own or none."""
    settings = Settings(control_writes_per_s=0.1, feedback_per_s=0.1)
    with Endpoint(repository=module_repository, settings=settings) as endpoint:
        path = f"/control/rollouts/{ROLLOUT}"
        first, second = (endpoint.client.post(f"{path}/pause", json={}) for _ in range(2))
        told = endpoint.client.post("/control/models/linear/feedback", json={"outcomes": []})
        read = endpoint.client.get(path)
    assert [answer.status_code for answer in (first, second, told, read)] == [200, 429, 200, 200]
    assert second.headers["retry-after"] == "10"
    assert second.json() == {"error": "more than 0.1 changes a second; try again in 10 s"}


def test_strangers_use_up_nobodys_changes(module_repository: Path, tmp_path: Path) -> None:
    """A refused request does not count towards the limit of changes."""
    access = Access(grants=grants(tmp_path, "ann"), loopback=True)
    settings = Settings(control_writes_per_s=0.1)
    with Endpoint(repository=module_repository, access=access, settings=settings) as endpoint:
        path = f"/control/rollouts/{ROLLOUT}/pause"
        assert endpoint.client.post(path, json={}).status_code == 401
        assert endpoint.client.post(path, json={}, headers=of("ann")).status_code == 200


def test_no_token_is_in_the_access_log(module_repository: Path, tmp_path: Path) -> None:
    """The access log has the path and not the token."""
    log = AccessLog(tmp_path / "log")
    access = Access(grants=grants(tmp_path, "ann"), loopback=False)
    with Endpoint(repository=module_repository, access=access, observer=Observer(log)) as endpoint:
        endpoint.client.get("/control/models", headers=of("ann"))
    log.close()
    written = (tmp_path / "log").read_text()
    assert "/control/models" in written
    assert TOKENS["ann"][1] not in written
