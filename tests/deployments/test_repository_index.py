from pathlib import Path

import pytest

from deployments.repository_index import (
    describe_bundles,
    describe_unserved,
    find_loaded,
    list_variants,
    read_stored,
)
from serve.base.errors import UnknownModel, UnknownVariant
from serve.engine.catalog import Catalog
from tests.conftest import make_bundle
from tests.serve.endpoint import load_all


def test_a_bundle_is_told_beside_the_version_that_is_served(repository: Path) -> None:
    """Each bundle has its digest on disk beside the served one; a rejected bundle is not loaded."""
    catalog = load_all(repository, {})
    light = make_bundle(repository, "light", scale=7.0)
    told = describe_bundles(read_stored(repository, "linear"), catalog)
    base, poor = told.bundles["base"], told.bundles["poor"]
    assert (told.baseline, base.loaded, base.figures.quality.rows) == ("base", base.digest, 10)
    assert told.bundles["light"].digest == light.digest
    assert told.bundles["light"].loaded not in (None, light.digest)
    assert poor.loaded is None
    assert poor.rejected is not None


def test_a_model_that_is_not_served_has_bundles_all_the_same(repository: Path) -> None:
    """A model that is not served still lists its bundles."""
    told = describe_bundles(read_stored(repository, "linear"), Catalog())
    assert {view.loaded for view in told.bundles.values()} == {None}


def test_the_index_says_that_a_variant_is_unproven(repository: Path) -> None:
    """The index has READY and the reason of an unproven variant."""
    catalog = load_all(repository, {})
    model = catalog.models["linear"]
    variants = {
        name: item.model_copy(update={"unproven": name == "light"}) for name, item in model.variants.items()
    }
    entries = list_variants(repository, catalog.put(model.model_copy(update={"variants": variants})), (), {})
    told = next(entry for entry in entries if entry.version == "light")
    assert (told.state, told.reason.split(":")[0]) == ("READY", "it is unproven")


def test_a_start_names_each_variant_that_is_not_served(repository: Path) -> None:
    """The start names each variant that is not served, with the reason."""
    assert describe_unserved(read_stored(repository, "linear")) == [
        "not served: poor: it was rejected: accuracy 0.50 is 0.40 below the baseline's, floor 0.02"
    ]


@pytest.mark.parametrize("name", ["linea", "..", "", "linear/base"])
def test_a_name_leads_to_no_other_folder(repository: Path, name: str) -> None:
    """A name that points outside the repository is an unknown model."""
    with pytest.raises(UnknownModel, match=r"no model .* in the repository"):
        read_stored(repository, name)


def test_a_variant_must_be_served_to_be_found(repository: Path) -> None:
    """A served variant is found; a rejected one and an unknown model raise errors."""
    catalog = load_all(repository, {})
    assert find_loaded(catalog, "linear", "light").name == "linear"
    with pytest.raises(UnknownVariant, match="'linear' serves no variant 'poor'"):
        find_loaded(catalog, "linear", "poor")
    with pytest.raises(UnknownModel, match="no model 'other' is served here"):
        find_loaded(catalog, "other", None)
