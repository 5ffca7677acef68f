"""What is loaded, and what becomes of a model's traffic when one of its variants goes."""

import pytest
from pydantic import ValidationError

from serve.catalog import Catalog, LoadedModel, LoadedVariant
from serve.errors import InvalidRequest
from serve.routing import Routes
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
    """The one before stays as it was."""
    before = Catalog().put(model({"base": 1}))
    after = before.put(model({"base": 1}, name="other"))
    assert (before.revision, list(before.models)) == (1, ["linear"])
    assert (after.revision, list(after.models)) == (2, ["linear", "other"])


def test_put_takes_the_place_of_the_model_of_that_name() -> None:
    """There is one at a time."""
    catalog = Catalog().put(model({"base": 1})).put(model({"base": 1}, "light"))
    assert list(catalog.models["linear"].variants) == ["base", "light"]


def test_drop_takes_a_model_away() -> None:
    """Only that one."""
    catalog = Catalog().put(model({"base": 1})).put(model({"base": 1}, name="other")).drop("linear")
    assert (catalog.revision, list(catalog.models)) == (3, ["other"])


def test_with_variants_replaces_and_adds() -> None:
    """Older versions of the same variants go, the others stay."""
    changed = model({"base": 1}, "light").with_variants({"light": version(2), "slim": version(3)})
    numbers = {name: int(loaded.digest, 16) for name, loaded in changed.variants.items()}
    assert numbers == {"base": 1, "light": 2, "slim": 3}


@pytest.mark.parametrize(
    ("weights", "left"),
    [
        ({"base": 60, "light": 30, "slim": 10}, {"base": 60, "slim": 10}),
        ({"base": 0, "light": 90, "slim": 10}, {"base": 0, "slim": 10}),
        ({"base": 0, "light": 100}, {"base": 100}),
        ({"base": 0, "light": 100, "slim": 0}, {"base": 100, "slim": 0}),
    ],
    ids=["to both others", "to the other candidate", "to the baseline", "never to one at weight 0"],
)
def test_the_traffic_of_a_variant_that_goes_goes_to_the_others(
    weights: dict[str, float], left: dict[str, float]
) -> None:
    """In their proportion; the routes are a new revision."""
    routes = model(weights, "light", "slim").without("light").routes
    assert (dict(routes.weights), routes.revision) == (left, 2)


def test_routes_that_do_not_name_the_variant_stay() -> None:
    """Nothing changed for anybody."""
    changed = model({"base": 1}, "light").without("light")
    assert (changed.routes.revision, list(changed.variants)) == (1, ["base"])


def test_the_baseline_goes_only_with_its_model() -> None:
    """The others are weighed against it."""
    with pytest.raises(InvalidRequest, match=r"'base' is the baseline of 'linear'.*unload the whole model"):
        model({"base": 1}, "light").without("base")


def test_a_catalog_survives_json() -> None:
    """A keeper that is made anew reads what the last one wrote."""
    catalog = Catalog().put(model({"base": 9, "light": 1}, "light"))
    assert Catalog.model_validate_json(catalog.model_dump_json()) == catalog


def test_a_name_that_is_no_name_is_refused() -> None:
    """It stands in paths, labels and URLs."""
    with pytest.raises(ValidationError, match="name"):
        model({"base": 1}, name="../etc")
