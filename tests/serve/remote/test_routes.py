import json

import pytest

from serve.control import ActWanted, RoutesWanted
from tests.serve.desk import Desk
from tests.serve.endpoint import Endpoint
from tests.serve.remote.conftest import Type

RUNS = "linear-20261122-152000-3f9a"


@pytest.fixture
def desk(endpoint: Endpoint) -> Desk:
    """A keeper whose rollout is over, so that routes may be set."""
    endpoint.call(endpoint.desk.act(RUNS, "abort", ActWanted(), "ann"))
    endpoint.desk.told.clear()
    return endpoint.desk


def test_routes_alone_are_shown(type: Type, endpoint: Endpoint) -> None:
    """The baseline first, each variant with its share; the server is told nothing."""
    endpoint.watched(RUNS)
    code, shown = type("routes", "linear")
    endpoint.watched(None)
    rows = [row.split() for row in shown.splitlines()[2:4]]
    assert (code, endpoint.desk.told) == (0, [])
    assert [row[:3] for row in rows] == [["base", "90", "%"], ["light", "10", "%"]]
    assert f"rollout {RUNS} moves them" in shown


def test_routes_as_json_are_what_the_server_says(type: Type) -> None:
    """For programs."""
    _, shown = type("routes", "linear", "--json")
    assert json.loads(shown)["variants"]["light"]["share"] == 0.1


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--set", "base=90,light=10"], RoutesWanted(weights={"base": 90, "light": 10})),
        (["--shadow", "light=0.5"], RoutesWanted(shadows={"light": 0.5})),
        (["--shadow", ""], RoutesWanted(shadows={})),
        (["--sticky", "x-user-id"], RoutesWanted(sticky="x-user-id")),
    ],
    ids=["weights", "a shadow", "no shadow", "sticky"],
)
def test_what_is_not_given_stays_as_it_is(
    type: Type, desk: Desk, words: list[str], wanted: RoutesWanted
) -> None:
    """Only the rest is sent."""
    code, _ = type("routes", "linear", *words)
    assert (code, desk.told) == (0, [("set_routes", "linear", wanted, "local")])


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--set", "base=9;light=1"], "--set: 'base=9;light=1' does not fit"),
        (["--set", "base=9,base=1"], "--set: 'base=1' does not fit"),
        (["--shadow", "light=2"], "shadows.light"),
    ],
)
def test_routes_with_a_fault_never_reach_the_server(
    type: Type, desk: Desk, words: list[str], fault: str
) -> None:
    """The fault is named."""
    code, shown = type("routes", "linear", *words)
    assert (code, desk.told) == (2, [])
    assert fault in shown


def test_routes_of_an_unknown_model_are_refused_by_the_server(type: Type) -> None:
    """In its words."""
    code, shown = type("routes", "minilm")
    assert code == 2
    assert "minilm" in shown
