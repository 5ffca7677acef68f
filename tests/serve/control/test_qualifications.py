from typing import Any

import pytest

from serve.bundles.bundle import sha256
from serve.rollout.api_records import TrailLine
from serve.rollout.trail.qualification import Qualification, QualificationView
from tests.serve.endpoint import Endpoint

PATH = "/control/models/linear/qualifications"
FIELDS = {
    "candidate": "light",
    "baseline": "base",
    "outcome": "QUALIFIED",
    "binding": "agreement",
    "limits": {"p99_ms": 50},
    "stages": [{"name": "shadow", "outcome": "PASS", "reasons": [], "checks": [{"seen": "99 %"}]}],
}


@pytest.fixture
def found(endpoint: Endpoint) -> dict[str, Any]:
    """Return a qualification of the loaded versions."""
    return FIELDS | {"digests": endpoint.control.keeper.plan.digests}


def test_it_is_written_down(endpoint: Endpoint, found: dict[str, Any]) -> None:
    """The answer is 201 with the author, and the keeper gets the qualification as it was sent."""
    answer = endpoint.client.post(PATH, json=found)
    assert answer.status_code == 201
    view = QualificationView.model_validate_json(answer.content)
    assert endpoint.control.told == [("qualify", "linear", Qualification.model_validate(found), "local")]
    assert (view.by, view.model_dump(include=set(found), mode="json")) == ("local", found)


def test_it_is_told_newest_first_and_in_the_trail(endpoint: Endpoint, found: dict[str, Any]) -> None:
    """The list has whole qualifications, newest first; the trail has one line for each."""
    failed = found | {"outcome": "INVALID", "reasons": ["the sender was late"]}
    views = [endpoint.client.post(PATH, json=fields).json() for fields in (found, failed)]
    assert endpoint.client.get(PATH).json() == {"qualifications": views[::-1]}
    lines = endpoint.client.get("/control/models/linear/trail").json()["entries"]
    line = TrailLine.model_validate(lines[-1])
    assert (line.action, line.rollout, line.reason) == (
        "qualify",
        None,
        "light against base: INVALID (shadow PASS); the sender was late",
    )


def test_any_json_comes_back(endpoint: Endpoint, found: dict[str, Any]) -> None:
    """Limits may hold any JSON, even integers of 100 bits, and come back unchanged."""
    odd = {"x": [10**30, -0.5, None, {"": "\u0000"}]}
    assert endpoint.client.post(PATH, json=found | {"limits": odd}).json()["limits"] == odd
    assert endpoint.client.get(PATH).json()["qualifications"][0]["limits"] == odd


def test_what_was_found_of_another_version_is_409(endpoint: Endpoint, found: dict[str, Any]) -> None:
    """A qualification of a version that is not loaded gives 409."""
    other = found | {"digests": {**found["digests"], "light": sha256(b"new")}}
    assert endpoint.client.post(PATH, json=other).status_code == 409


def test_what_contradicts_itself_is_400(endpoint: Endpoint, found: dict[str, Any]) -> None:
    """A contradictory qualification gives a 400 with the fault."""
    answer = endpoint.client.post(PATH, json=found | {"outcome": "NOT_QUALIFIED"})
    assert answer.status_code == 400
    assert "it is NOT_QUALIFIED" in answer.json()["error"]
    assert endpoint.control.told == []
