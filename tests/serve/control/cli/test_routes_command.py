import json
from collections.abc import Iterator

import pytest

from serve.base.routing import Routes
from serve.rollout.api_records import RoutesRequest
from tests.serve.control.cli.conftest import Type
from tests.serve.endpoint import Endpoint
from tests.serve.local_control import LocalControl

RUNS = "linear-20261122-152000-3f9a"


@pytest.fixture
def control(endpoint: Endpoint) -> Iterator[LocalControl]:
    """A control whose rollout is over, so that routes may be set."""
    control, model = endpoint.control, endpoint.registry.models["linear"]
    control.come_to("aborted")
    before = model.routes
    route(endpoint, control.keeper.routes)
    yield control
    route(endpoint, before)


def route(endpoint: Endpoint, routes: Routes) -> None:
    """Set the routes by which the gateway chooses."""

    async def change() -> None:
        endpoint.registry.models["linear"].route(routes, None)

    endpoint.call(change())


def test_routes_alone_are_shown(type: Type, endpoint: Endpoint) -> None:
    """The command lists each variant with its share, the baseline first, and changes nothing."""
    endpoint.watched(RUNS)
    code, shown = type("routes", "linear")
    endpoint.watched(None)
    rows = [row.split() for row in shown.splitlines()[2:4]]
    assert (code, endpoint.control.told) == (0, [])
    assert [row[:3] for row in rows] == [["base", "90", "%"], ["light", "10", "%"]]
    assert f"rollout {RUNS} is in progress" in shown


def test_a_shadow_shows_how_alike_its_answers_are(type: Type, endpoint: Endpoint) -> None:
    """The agreement of a shadow is shown without a rollout; a variant that was no shadow has no line."""
    tally = endpoint.registry.models["linear"].served["light"].queue.tally
    tally.copies, tally.disagreements, tally.drops = 640, 9, 17
    _, shown = type("routes", "linear")
    tally.copies = tally.disagreements = tally.drops = 0
    assert "light as a shadow: 631 of 640 pairs agree (98.59%); 17 copies dropped\n" in shown
    assert "base as a shadow" not in shown


def test_an_unproven_variant_says_so(type: Type, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unproven variant is named below the table."""
    light = endpoint.registry.models["linear"].served["light"]
    monkeypatch.setattr(light, "version", light.version.model_copy(update={"unproven": True}))
    _, shown = type("routes", "linear")
    assert "light is unproven: " in shown
    assert "base is unproven" not in shown


def test_routes_as_json_are_what_the_server_says(type: Type) -> None:
    """With --json, the server's answer is printed."""
    _, shown = type("routes", "linear", "--json")
    assert json.loads(shown)["variants"]["light"]["share"] == 0.1


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--shadow", "light=0.5"], RoutesRequest(shadows={"light": 0.5})),
        (["--shadow", ""], RoutesRequest(shadows={})),
        (["--sticky", "x-user-id"], RoutesRequest(sticky="x-user-id")),
    ],
    ids=["a shadow", "no shadow", "sticky"],
)
def test_what_is_not_given_stays_as_it_is(
    type: Type, control: LocalControl, words: list[str], wanted: RoutesRequest
) -> None:
    """Only the given settings are sent."""
    code, _ = type("routes", "linear", *words)
    assert (code, control.told) == (0, [("set_routes", "linear", wanted, "local")])


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--set", "base=9;light=1"], "--set: 'base=9;light=1'"),
        (["--set", "base=9,base=1"], "--set: 'base=1'"),
        (["--shadow", "light=2"], "shadows.light"),
    ],
)
def test_routes_with_a_fault_never_reach_the_server(
    type: Type, control: LocalControl, words: list[str], fault: str
) -> None:
    """An invalid --set is reported without a request to the server."""
    code, shown = type("routes", "linear", *words)
    assert (code, control.told) == (2, [])
    assert fault in shown


def weights(control: LocalControl) -> dict[str, float]:
    """Return the weights in force."""
    return dict(control.keeper.routes.weights)


def test_weights_that_are_not_named_stay(type: Type, control: LocalControl) -> None:
    """Setting `light=0.5` keeps `base` at 1, so `light` gets a third of the requests."""
    code, _ = type("routes", "linear", "--set", "light=0.5")
    assert (code, weights(control)) == (0, {"base": 1.0, "light": 0.5})


def test_weights_are_set_on_the_routes_that_were_read(type: Type, control: LocalControl) -> None:
    """All weights are sent with the revision that was read, so that no other change is overwritten."""
    revision = control.keeper.routes.revision
    type("routes", "linear", "--set", "light=0.5")
    wanted = RoutesRequest(weights={"base": 1, "light": 0.5}, revision=revision)
    assert control.told == [("set_routes", "linear", wanted, "local")]


def test_weights_are_set_again_where_the_gateway_had_old_ones(
    type: Type, control: LocalControl, endpoint: Endpoint
) -> None:
    """The command tries again if the gateway's revision was old."""
    control.keeper.commands.set_routes("linear", RoutesRequest(), "bob")

    def hear(operation: str) -> None:
        if operation == "set_routes":
            endpoint.registry.models["linear"].route(control.keeper.routes, None)

    control.before = hear
    code, _ = type("routes", "linear", "--set", "light=0.5")
    assert (code, weights(control)) == (0, {"base": 1.0, "light": 0.5})


def test_more_than_half_of_the_traffic_does_not_move_by_itself(type: Type, control: LocalControl) -> None:
    """Moving more than half of the traffic without `--yes` exits with 2 and sends nothing."""
    code, shown = type("routes", "linear", "--set", "light=3")
    assert (code, control.told) == (2, [])
    assert "would move 75 % of the traffic of linear at once" in shown
    assert "(base from 100 % to 25 %, light from 0 % to 75 %); add --yes" in shown


def test_more_than_half_of_the_traffic_moves_when_it_is_meant(type: Type, control: LocalControl) -> None:
    """`--yes` moves more than half of the traffic without a question."""
    code, _ = type("routes", "linear", "--set", "base=0,light=1", "--yes")
    assert (code, weights(control)) == (0, {"base": 0.0, "light": 1.0})


def test_a_variant_that_is_not_served_is_the_servers_to_refuse(type: Type, control: LocalControl) -> None:
    """The server refuses weights of variants that it does not serve."""
    type("routes", "linear", "--set", "lihgt=100")
    assert [told[2].weights for told in control.told] == [{"base": 1.0, "light": 0.0, "lihgt": 100.0}]


def test_routes_of_an_unknown_model_are_refused_by_the_server(type: Type) -> None:
    """The server's error for an unknown model is shown."""
    code, shown = type("routes", "minilm")
    assert code == 2
    assert "minilm" in shown
