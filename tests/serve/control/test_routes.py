import pytest

from serve.base.errors import RefusedAction
from serve.rollout.api_records import RoutesRequest
from tests.serve.endpoint import Endpoint

PATH = "/control/models/linear/routes"


def test_shows_the_routes_in_force(endpoint: Endpoint) -> None:
    """The answer has the routes that this gateway uses; an unknown model gives 404."""
    shown = endpoint.client.get(PATH).json()
    assert (shown["weights"], shown["baseline"]) == ({"base": 9.0, "light": 1.0}, "base")
    assert endpoint.client.get("/control/models/other/routes").status_code == 404


def test_what_is_wanted_reaches_the_keeper(endpoint: Endpoint) -> None:
    """The keeper gets the wanted routes whole, and the answer has the new weights."""
    endpoint.client.post("/control/rollouts/linear-20261122-152000-3f9a/abort", json={})
    endpoint.control.told.clear()
    wanted = {"weights": {"base": 90, "light": 10}, "shadows": {}, "sticky": "x-user-id"}
    answer = endpoint.client.put(PATH, json=wanted)
    assert answer.status_code == 200
    assert answer.json()["weights"] == {"base": 90.0, "light": 10.0}
    expected = RoutesRequest(weights={"base": 90, "light": 10}, shadows={}, sticky="x-user-id")
    assert endpoint.control.told == [("set_routes", "linear", expected, "local")]


def test_an_old_revision_is_409_with_the_current_one(endpoint: Endpoint) -> None:
    """The answer to an outdated revision has the present one."""
    answer = endpoint.client.put(PATH, json={"weights": {"base": 1}, "revision": 1})
    current = endpoint.control.keeper.routes.revision
    assert (answer.status_code, answer.json()["current"]) == (409, current)
    assert f"read with revision 1, but {current} is in force" in answer.json()["error"]


def test_a_refusal_is_409_with_its_reason_alone(endpoint: Endpoint) -> None:
    """A refusal gives 409 with the error alone, without a current entry."""
    endpoint.control.error = RefusedAction("a rollout runs")
    answer = endpoint.client.put(PATH, json={"weights": {"base": 1}})
    assert (answer.status_code, answer.json()) == (409, {"error": "a rollout runs"})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "Invalid JSON: EOF"),
        (b"{", "Invalid JSON: EOF"),
        (b"\xff", "Invalid JSON:"),
        (b"[]", "Input should be an object"),
        (b'{"wieghts": {}}', "unknown key 'wieghts'; did you mean 'weights'?"),
        (b'{"weights": {"base": -1}}', "weights.base: Input should be greater than or equal to 0"),
        (b'{"weights": {"base": "much"}}', "weights.base: Input should be a valid number, unable to parse"),
        (b'{"weights": {"base": NaN}}', "weights.base: Input should be a finite number (got: nan)"),
        (b'{"shadows": {"light": 2}}', "shadows.light: Input should be less than or equal to 1"),
        (b'{"revision": 1.5}', "revision: Input should be a valid integer"),
    ],
    ids=repr,
)
def test_a_body_that_cannot_be_meant_is_400(endpoint: Endpoint, body: bytes, message: str) -> None:
    """An invalid body gives 400 with its faults, and nothing reaches the keeper."""
    answer = endpoint.client.put(PATH, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert message in answer.json()["error"]
    assert endpoint.control.told == []


@pytest.mark.parametrize("media_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_is_no_json_is_415(endpoint: Endpoint, media_type: str | None) -> None:
    """A body with another content type than JSON gives 415."""
    headers = {} if media_type is None else {"content-type": media_type}
    answer = endpoint.client.put(PATH, content=b"{}", headers=headers)
    assert answer.status_code == 415
    assert "content-type: application/json" in answer.json()["error"]
    assert endpoint.control.told == []


def test_json_may_name_its_encoding(endpoint: Endpoint) -> None:
    """The content type may have a charset."""
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    endpoint.client.post("/control/rollouts/linear-20261122-152000-3f9a/abort", json={})
    assert endpoint.client.put(PATH, content=b"{}", headers=headers).status_code == 200
