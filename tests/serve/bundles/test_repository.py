from pathlib import Path

import pytest

from serve.base.errors import InvalidBundle, RejectedBundle, UnknownModel, UnknownVariant
from serve.base.tensor import Signature, TensorSpec
from serve.bundles.repository import read_model, read_repository
from tests.conftest import MakeBundle


def test_serves_accepted_bundles_only(repository: Path) -> None:
    """A rejected variant is read and is not servable."""
    model = read_repository(repository)["linear"]
    assert list(model.servable) == ["base", "light"]
    assert "poor" in model.bundles


def test_refuses_a_rejected_variant_with_the_reason(repository: Path) -> None:
    """The error for a rejected variant gives the reason of the rejection."""
    with pytest.raises(RejectedBundle, match=r"'poor' of 'linear' was rejected: accuracy 0\.50"):
        read_model(repository / "linear").require_servable("poor")


def test_a_variant_that_was_measured_on_random_rows_is_not_proven(
    tmp_path: Path, make_bundle: MakeBundle
) -> None:
    """The error names the variants and the model; a bundle without the mark is proven."""
    make_bundle(tmp_path, "base")
    read_model(tmp_path / "linear").require_proven()
    make_bundle(tmp_path, "light", random_rows=True)
    with pytest.raises(RejectedBundle, match=r"light of 'linear' was measured on random rows.*--unproven"):
        read_model(tmp_path / "linear").require_proven()


def test_refuses_an_unknown_variant_with_the_nearest(repository: Path) -> None:
    """The error for a misspelt variant suggests the nearest one."""
    with pytest.raises(UnknownVariant, match="did you mean 'light'"):
        read_model(repository / "linear").require_servable("ligth")


def test_does_not_see_a_bundle_that_is_being_written(repository: Path) -> None:
    """A hidden folder is neither a model nor a variant."""
    (repository / "linear" / ".int8.tmp").mkdir()
    (repository / ".other").mkdir()
    assert list(read_repository(repository)) == ["linear"]


def test_refuses_a_model_without_its_baseline(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """A model without its baseline is refused."""
    make_bundle(tmp_path, "light")
    with pytest.raises(InvalidBundle, match="name base as the baseline"):
        read_repository(tmp_path)


def test_refuses_variants_that_are_not_interchangeable(repository: Path, make_bundle: MakeBundle) -> None:
    """Variants with different signatures are refused."""
    wide = Signature(
        inputs=(TensorSpec(name="x", datatype="FP32", shape=("batch", 5)),),
        outputs=(TensorSpec(name="y", datatype="FP32", shape=("batch", 3)),),
    )
    make_bundle(repository, "wide", signature=wide)
    with pytest.raises(InvalidBundle, match="wide has another signature"):
        read_repository(repository)


def test_refuses_a_bundle_under_another_name(repository: Path) -> None:
    """A bundle in a folder of another name is refused."""
    (repository / "linear" / "light").rename(repository / "linear" / "heavy")
    with pytest.raises(InvalidBundle, match="says it is linear/light"):
        read_repository(repository)


def test_says_what_to_do_when_there_is_nothing(tmp_path: Path) -> None:
    """The error for an empty or missing repository names the export command."""
    with pytest.raises(InvalidBundle, match="counterweight export"):
        read_repository(tmp_path)
    with pytest.raises(InvalidBundle, match="counterweight export"):
        read_repository(tmp_path / "missing")
    with pytest.raises(UnknownModel, match="counterweight export"):
        read_model(tmp_path)


def test_what_was_rejected_is_told_with_the_reason(repository: Path) -> None:
    """The repository keeps the reason for each rejected variant."""
    stored = read_model(repository / "linear")
    assert stored.rejected == {"poor": "accuracy 0.50 is 0.40 below the baseline's, floor 0.02"}
