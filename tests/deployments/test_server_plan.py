from pathlib import Path
from typing import Any

import pytest

from deployments.server_plan import ServerPlan, parse_all_weights, parse_placements
from serve.base.errors import InvalidBundle, InvalidRecord, RejectedBundle, UnknownModel, UnknownVariant
from tests.conftest import MakeBundle, make_lookup


def make_plan(
    repository: Path, weights: tuple[str, ...] = (), placements: tuple[str, ...] = ()
) -> ServerPlan:
    """Return the plan that the command makes of these options."""
    fields: dict[str, Any] = {
        "repository": repository,
        "weights": parse_all_weights(list(weights)),
        "placements": parse_placements(list(placements)),
        "host": "127.0.0.1",
        "port": 8000,
        "grpc_port": 8001,
        "store": "sqlite:////nowhere",
    }
    return ServerPlan.parse(fields, "serve")


def test_without_weights_everything_goes_to_the_baseline(repository: Path) -> None:
    """Without weights the baseline has all traffic."""
    plan = make_plan(repository)
    [model] = plan.read()
    assert plan.routes_of(model).weights == {"base": 100.0}


def test_weights_are_taken_as_asked(repository: Path) -> None:
    """Weights apply to the model that they name; other models keep the default."""
    make_lookup(repository)
    plan = make_plan(repository, ("linear:light=10,base=90",))
    routes = {model.name: dict(plan.routes_of(model).weights) for model in plan.read()}
    assert routes == {"linear": {"light": 10.0, "base": 90.0}, "lookup": {"base": 100.0}}


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ("liner:base=1", UnknownModel, "--weights: no model 'liner'.*did you mean 'linear'"),
        ("linear:base=1,lite=1", UnknownVariant, "did you mean 'light'"),
        ("linear:base=1,poor=1", RejectedBundle, r"accuracy 0\.50 is 0\.40 below"),
    ],
    ids=["unknown model", "unknown variant", "rejected"],
)
def test_refuses_weights_that_do_not_fit_the_repository(
    repository: Path, weights: str, error: type[Exception], message: str
) -> None:
    """Weights that do not fit the repository are refused before the server starts."""
    with pytest.raises(error, match=message):
        make_plan(repository, (weights,)).read()


def test_a_model_of_random_rows_needs_the_option(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """Without --unproven, the plan refuses a model that was measured on random rows only."""
    make_bundle(tmp_path, "base", random_rows=True)
    plan = make_plan(tmp_path)
    with pytest.raises(RejectedBundle, match="--unproven"):
        plan.read()
    [model] = plan.model_copy(update={"unproven": True}).read()
    assert model.name == "linear"


def test_weights_without_the_baseline_are_refused(repository: Path) -> None:
    """Weights without the baseline are refused."""
    plan = make_plan(repository, ("linear:light=1",))
    [model] = plan.read()
    with pytest.raises(InvalidRecord, match="--weights for linear: weights do not name the baseline 'base'"):
        plan.routes_of(model)


def test_weights_of_a_model_stand_in_one_place() -> None:
    """Two options with weights for the same model are refused."""
    with pytest.raises(InvalidRecord, match="names model 'linear' twice"):
        parse_all_weights(["linear:base=1", "linear:light=1"])


@pytest.mark.parametrize(
    ("typed", "where"),
    [
        ((), {"linear": "apart", "lookup": "apart"}),
        (("together",), {"linear": "together", "lookup": "together"}),
        (("linear=together",), {"linear": "together", "lookup": "apart"}),
        (("linear=apart", "together"), {"linear": "apart", "lookup": "together"}),
    ],
    ids=["apart unless told", "every model", "one model", "one model otherwise than the rest"],
)
def test_placements_are_taken_as_asked(
    repository: Path, typed: tuple[str, ...], where: dict[str, str]
) -> None:
    """A placement for a model overrides the one for all models."""
    plan = make_plan(repository, placements=typed)
    assert {name: plan.placement_of(name) for name in where} == where


def test_a_placement_of_no_model_is_refused(repository: Path) -> None:
    """The error for a placement of an unknown model suggests the nearest one."""
    with pytest.raises(UnknownModel, match=r"--placement: no model 'liner'.*did you mean 'linear'"):
        make_plan(repository, placements=("liner=together",)).read()


@pytest.mark.parametrize("typed", ["beside", "linear=", "linear=beside"])
def test_a_placement_that_is_none_is_refused(repository: Path, typed: str) -> None:
    """The error for an unknown placement names both valid ones."""
    with pytest.raises(InvalidRecord, match=r"placements.*'apart' or 'together'"):
        make_plan(repository, placements=(typed,))


def test_a_repository_without_models_is_refused(tmp_path: Path) -> None:
    """An empty repository is refused, and the error says what to do."""
    with pytest.raises(InvalidBundle, match="has no models; export a recipe into it first"):
        make_plan(tmp_path).read()


@pytest.mark.parametrize("field", ["port", "grpc_port", "gateways", "replicas"])
def test_a_number_that_cannot_be_is_refused(repository: Path, field: str) -> None:
    """A number out of range is refused before a socket is opened."""
    fields = make_plan(repository).model_dump() | {field: 0}
    with pytest.raises(InvalidRecord, match=f"serve: {field}: "):
        ServerPlan.parse(fields, "serve")


@pytest.mark.parametrize(
    ("host", "url", "local_url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://0.0.0.0:8000", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000", "http://[::1]:8000"),
        ("::", "http://[::]:8000", "http://[::1]:8000"),
        ("10.0.0.0", "http://10.0.0.0:8000", "http://10.0.0.0:8000"),
    ],
)
def test_the_url_is_one_that_can_be_asked(repository: Path, host: str, url: str, local_url: str) -> None:
    """The local URL uses the loopback address if the server listens on every interface."""
    plan = make_plan(repository).model_copy(update={"host": host})
    assert (plan.url, plan.local_url) == (url, local_url)


def test_a_rejected_baseline_gets_no_routes(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """A model whose baseline was rejected raises the reason."""
    make_bundle(tmp_path, "base", rejected="too bad")
    make_bundle(tmp_path, "light")
    plan = make_plan(tmp_path)
    with pytest.raises(RejectedBundle, match="too bad"):
        plan.read()
