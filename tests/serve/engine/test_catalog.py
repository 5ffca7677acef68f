"""What is loaded, and how a model's traffic changes when one of its variants is unloaded."""

import pytest
from pydantic import ValidationError

from serve.base.errors import InvalidRequest
from serve.base.routing import Routes
from serve.engine.catalog import Catalog, LoadedModel, LoadedVariant
from tests.conftest import SIGNATURE


def version(number: int) -> LoadedVariant:
    return LoadedVariant(digest=f"{number:064x}", folder=f"/copies/{number}", host=None, full_rows=8)


def model(weights: dict[str, float], *variants: str, name: str = "linear") -> LoadedModel:
    return LoadedModel(
        name=name,
        signature=SIGNATURE,
        task="classification",
        routes=Routes(model=name, baseline="base", weights=weights),
        variants={variant: version(1) for variant in ("base", *variants)},
    )


def test_put_makes_the_next_catalog() -> None:
    """`put` returns a catalog with the next revision and leaves the previous one unchanged."""
    before = Catalog().put(model({"base": 1}))
    after = before.put(model({"base": 1}, name="other"))
    assert (before.revision, list(before.models)) == (1, ["linear"])
    assert (after.revision, list(after.models)) == (2, ["linear", "other"])


def test_put_takes_the_place_of_the_model_of_that_name() -> None:
    """`put` replaces the model of the same name."""
    catalog = Catalog().put(model({"base": 1})).put(model({"base": 1}, "light"))
    assert list(catalog.models["linear"].variants) == ["base", "light"]


def test_drop_takes_a_model_away() -> None:
    """`drop` removes only the named model."""
    catalog = Catalog().put(model({"base": 1})).put(model({"base": 1}, name="other")).drop("linear")
    assert (catalog.revision, list(catalog.models)) == (3, ["other"])


def test_the_baseline_goes_only_with_its_model() -> None:
    """The baseline cannot be removed from a model alone."""
    with pytest.raises(InvalidRequest, match=r"'base' is the baseline of 'linear'.*unload the whole model"):
        model({"base": 1}, "light").without("base")


def test_a_catalog_survives_json() -> None:
    """A catalog is the same after a round trip through JSON."""
    catalog = Catalog().put(model({"base": 9, "light": 1}, "light"))
    assert Catalog.model_validate_json(catalog.model_dump_json()) == catalog


def test_a_name_that_is_no_name_is_refused() -> None:
    """A model's name that is not valid in paths, labels and URLs is refused."""
    with pytest.raises(ValidationError, match="name"):
        model({"base": 1}, name="../etc")
