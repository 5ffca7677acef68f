from pathlib import Path

import pytest

from deployments.plan import Plan, plan_routes
from serve.errors import InvalidRecord, RejectedBundle, UnknownModel, UnknownVariant
from tests.conftest import MakeBundle


def test_without_weights_everything_goes_to_the_baseline(repository: Path) -> None:
    """A candidate gets traffic only when somebody says so."""
    _, routes = plan_routes(repository, [])
    assert routes[0].weights == {"base": 100.0}


def test_weights_are_taken_as_asked(repository: Path) -> None:
    """In the order of the command line, which is the order of the stretches."""
    models, routes = plan_routes(repository, ["linear:light=10,base=90"])
    assert [model.name for model in models] == ["linear"]
    assert list(routes[0].weights.items()) == [("light", 10.0), ("base", 90.0)]


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (["liner:base=1"], UnknownModel, "did you mean 'linear'"),
        (["linear:base=1", "linear:light=1"], InvalidRecord, "names model 'linear' twice"),
        (["linear:base=1,lite=1"], UnknownVariant, "did you mean 'light'"),
        (["linear:base=1,poor=1"], RejectedBundle, r"accuracy 0\.50 is 0\.40 below"),
        (["linear:light=1"], InvalidRecord, "name no baseline 'base'"),
    ],
    ids=["unknown model", "twice", "unknown variant", "rejected", "no baseline"],
)
def test_refuses_weights_that_do_not_fit_the_repository(
    repository: Path, weights: list[str], error: type[Exception], message: str
) -> None:
    """Nothing is started for a split that cannot be."""
    with pytest.raises(error, match=message):
        plan_routes(repository, weights)


def test_a_rejected_baseline_is_refused(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """There is nobody to fall back to."""
    make_bundle(tmp_path, "base", rejected="too bad")
    with pytest.raises(RejectedBundle, match="too bad"):
        plan_routes(tmp_path, [])


def test_a_port_that_is_none_is_refused(repository: Path) -> None:
    """Before a socket is tried."""
    models, routes = plan_routes(repository, [])
    fields = {"models": models, "routes": routes, "together": False, "host": "127.0.0.1", "port": 99999}
    with pytest.raises(InvalidRecord, match="port"):
        Plan.parse(fields, "serve")
