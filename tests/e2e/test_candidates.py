"""Candidates that fail while they have a share of the traffic, without a failed request."""

from collections.abc import Iterator

import pytest

from serve.base.routing import Routes, choose, point_of
from tests.e2e.graphs import MODEL, body, dies, fails, grows, hangs, make_numbers, times
from tests.e2e.server import Server, running_server, wait_until
from tests.e2e.steady_load import Ask, steady

# Bad candidates misbehave from this number on.
AT = 5
MIB = 2**20
# This is long enough that good candidates on a busy machine do not seem to hang.
RUN_TIMEOUT_S = 6.0
WEIGHTS = {"base": 60.0, "dies": 10.0, "fails": 10.0, "grows": 10.0, "hangs": 10.0}
ROUTES = Routes(model=MODEL, baseline="base", weights=WEIGHTS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    repository = tmp_path_factory.mktemp("repository")
    make_numbers(repository, "base", times(1))
    make_numbers(repository, "dies", dies(AT))
    make_numbers(repository, "fails", fails(AT))
    make_numbers(repository, "hangs", hangs(AT))
    make_numbers(repository, "grows", grows(64 * MIB))
    make_numbers(repository, "damaged", b"no graph at all")
    make_numbers(repository, "stillborn", dies(0))
    split = ",".join(f"{name}={weight}" for name, weight in WEIGHTS.items())
    limits = (f"run_timeout_s={RUN_TIMEOUT_S}", f"max_growth_bytes={128 * MIB}")
    options = [word for limit in limits for word in ("--set", limit)]
    with running_server(repository, "--weights", f"{MODEL}:{split}", *options) as server:
        yield server


def asked_of(variant: str, value: int = AT) -> Ask:
    """Return a request with a key that the routes give to this variant."""
    key = next(key for key in map(str, range(1000)) if choose(ROUTES, point_of(MODEL, key)) == variant)
    return Ask(f"/v2/models/{MODEL}/infer", body(value), {"x-counterweight-key": key})


def failures(server: Server, variant: str, cause: str) -> float:
    """Return the number of failures of this cause in the metrics."""
    return server.metric("request_failures_total", f"{MODEL}/{variant}", cause=cause)


@pytest.mark.parametrize(
    ("variant", "reason"),
    [("damaged", "onnxruntime refuses the graph"), ("stillborn", "WorkerCrashedError")],
)
def test_one_that_cannot_be_loaded_is_not_served(server: Server, variant: str, reason: str) -> None:
    """A variant whose graph is invalid, or kills its loading process, is not served; the others are. The
    index gives the reason, and loading it again fails in the same way."""
    state, told = server.index()[f"{MODEL}/{variant}"]
    assert state == "UNAVAILABLE"
    assert reason in told
    with steady(server.port, asked_of("base"), rate=50) as load:
        again = server.load(MODEL, variant)
        load.wait_for(25)
    assert again.status == 400
    assert reason in again.json["error"]
    assert load.failed() == []
    assert server.post(f"/v2/models/{MODEL}/versions/{variant}/infer", body(1)).status == 404


def test_one_that_fails_is_rescued_each_time(server: Server) -> None:
    """The baseline answers each request of a failing candidate, marked, and the metrics count the
    failures."""
    with (
        steady(server.port, asked_of("base"), rate=50) as base,
        steady(server.port, asked_of("fails"), rate=50) as candidate,
    ):
        candidate.wait_for(100)
    assert [*base.failed(), *base.marked(), *candidate.failed()] == []
    assert {(sample.variant, str(sample.parameters)) for sample in candidate.samples} == {
        ("base", "{'rescued_from': 'fails'}")
    }
    wait_until(lambda: failures(server, "fails", "RefusedInput") == len(candidate.samples))
    assert server.metric("rescues_total", f"{MODEL}/fails") == len(candidate.samples)
    assert server.ready(f"/v2/models/{MODEL}/versions/fails")


def test_one_that_dies_is_rescued_and_replaced(server: Server) -> None:
    """A replica that dies at a request is replaced, and the baseline answers each of its requests."""
    [replica] = server.replicas(f"{MODEL}.dies.")
    with (
        steady(server.port, asked_of("base"), rate=50) as base,
        steady(server.port, asked_of("dies"), rate=20) as candidate,
    ):
        candidate.wait_for(1)
        wait_until(lambda: not replica.is_running())
        candidate.wait_for(100)
    assert [*base.failed(), *base.marked(), *candidate.failed()] == []
    assert {(sample.variant, str(sample.parameters)) for sample in candidate.samples} == {
        ("base", "{'rescued_from': 'dies'}")
    }
    assert failures(server, "dies", "VariantUnavailable") == len(candidate.samples)
    wait_until(lambda: server.ready(f"/v2/models/{MODEL}/versions/dies"))
    assert server.post(f"/v2/models/{MODEL}/versions/dies/infer", body(1)).status == 200


def test_one_that_hangs_is_given_up_and_replaced(server: Server) -> None:
    """A replica that hangs is given up and replaced, and the baseline answers its requests."""
    [replica] = server.replicas(f"{MODEL}.hangs.")
    with steady(server.port, asked_of("base"), rate=50) as base:
        with steady(server.port, asked_of("hangs"), rate=7, threads=48) as candidate:
            candidate.wait_for(40)
        wait_until(lambda: not replica.is_running())
        wait_until(lambda: server.ready(f"/v2/models/{MODEL}/versions/hangs"))
        base.wait_for(25)
    assert [*base.failed(), *base.marked(), *candidate.failed()] == []
    assert {(sample.variant, str(sample.parameters)) for sample in candidate.samples} == {
        ("base", "{'rescued_from': 'hangs'}")
    }
    assert failures(server, "hangs", "VariantUnavailable") == len(candidate.samples)
    assert server.post(f"/v2/models/{MODEL}/versions/hangs/infer", body(1)).status == 200


def test_one_that_leaks_is_replaced(server: Server) -> None:
    """A replica that exceeds its memory limit is replaced, and the baseline answers meanwhile."""
    [replica] = server.replicas(f"{MODEL}.grows.")
    before = replica.memory_info().rss
    with (
        steady(server.port, asked_of("base"), rate=50) as base,
        steady(server.port, asked_of("grows", 1), rate=5) as candidate,
    ):
        candidate.wait_for(5)
        assert replica.is_running()
        assert server.post(f"/v2/models/{MODEL}/versions/grows/infer", body(3)).status == 200
        wait_until(lambda: not replica.is_running())
        wait_until(lambda: server.ready(f"/v2/models/{MODEL}/versions/grows"))
        candidate.wait_for(5)
    assert [*base.failed(), *base.marked(), *candidate.failed()] == []
    assert {str(sample.parameters) for sample in candidate.marked()} == {"{'rescued_from': 'grows'}"}
    assert failures(server, "grows", "VariantUnavailable") == len(candidate.marked())
    [successor] = server.replicas(f"{MODEL}.grows.")
    assert successor.memory_info().rss - before < 128 * MIB
