from pathlib import Path

import pytest

from deployments.version_plan import line_up, plan_versions
from serve.base.errors import RejectedBundle
from serve.base.routing import Routes
from serve.base.tensor import Signature
from serve.bundles.bundle import sha256
from serve.bundles.repository import StoredModel, read_model
from serve.engine.catalog import LoadedModel, LoadedVariant
from tests.conftest import SIGNATURE, make_bundle


def loaded(*names: str) -> dict[str, LoadedVariant]:
    """Return one version of each variant."""
    return {
        name: LoadedVariant(digest=sha256(name.encode()), folder=f"/{name}", host=None, full_rows=8)
        for name in names
    }


@pytest.fixture
def stored(module_repository: Path) -> StoredModel:
    """`base`, which is the baseline, `light`, and `poor`, which was rejected."""
    return read_model(module_repository / "linear")


@pytest.fixture
def current(stored: StoredModel) -> LoadedModel:
    """The model with all its servable variants loaded."""
    model = line_up(stored, loaded("base", "light"), None)
    assert model is not None
    return model


@pytest.mark.parametrize(
    ("wanted", "whole", "brought_up"),
    [(["light"], False, ["base", "light"]), (["base"], False, ["base"]), (["base"], True, ["base"])],
    ids=["a candidate", "the baseline", "all of it"],
)
def test_a_model_that_is_not_loaded_begins_with_all_it_has(
    stored: StoredModel, wanted: list[str], whole: bool, brought_up: list[str]
) -> None:
    """A model that is not loaded is loaded whole, unless only its baseline or exactly these are wanted."""
    assert plan_versions(stored, wanted, None, whole=whole) == (brought_up, None)


def test_a_variant_joins_those_that_are_loaded(stored: StoredModel, current: LoadedModel) -> None:
    """A single variant is loaded beside the loaded ones."""
    assert plan_versions(stored, ["light"], current, whole=False) == (["light"], current)


def test_other_inputs_are_another_model(stored: StoredModel, current: LoadedModel) -> None:
    """A variant with another signature is loaded as a new model."""
    signature = Signature(inputs=SIGNATURE.outputs, outputs=SIGNATURE.outputs)
    other = current.model_copy(update={"signature": signature})
    assert plan_versions(stored, ["light"], other, whole=False) == (["base", "light"], None)


def test_no_model_is_loaded_without_its_baseline(tmp_path: Path) -> None:
    """A model whose baseline was rejected is not loaded."""
    make_bundle(tmp_path, "base", rejected="too slow")
    make_bundle(tmp_path, "light")
    with pytest.raises(RejectedBundle, match="variant 'base' of 'linear' was rejected"):
        plan_versions(read_model(tmp_path / "linear"), ["light"], None, whole=False)


def test_all_traffic_begins_at_the_baseline(current: LoadedModel) -> None:
    """A new model's baseline has all traffic."""
    assert (current.routes.baseline, current.routes.weights) == ("base", {"base": 1.0})


def test_a_winner_that_was_accepted_stands_in_for_a_baseline_that_is_not_there(stored: StoredModel) -> None:
    """An accepted variant replaces a missing baseline; without both there is no model."""
    routed = Routes(model="linear", baseline="light", weights={"light": 1.0})
    model = line_up(stored, loaded("light"), routed)
    assert model is not None
    assert model.routes.baseline == "light"
    assert line_up(stored, loaded("light"), None) is None
