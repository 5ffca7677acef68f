import pytest

from serve.base.errors import UnknownVariant, VariantUnavailable
from serve.bundles.unserved import Unserved

SERVED = {"base": 1, "light": 2}


def test_a_variant_that_is_served_is_no_matter() -> None:
    """A served variant passes the check, even if another version of it was rejected or failed to load."""
    Unserved(rejected={"light": "poor"}, absent={"light": "broken"}).require("linear", "light", SERVED)


def test_a_rejected_variant_says_so_and_why() -> None:
    """The error for a rejected variant gives the reason and the served variants."""
    with pytest.raises(
        UnknownVariant,
        match=r"serves no variant 'poor': it was rejected: accuracy 0\.50; served: base, light",
    ):
        Unserved(rejected={"poor": "accuracy 0.50"}).require("linear", "poor", SERVED)


def test_a_variant_that_could_not_be_loaded_says_why() -> None:
    """The error gives the reason why the variant was not loaded, and lists the served ones."""
    with pytest.raises(
        UnknownVariant, match=r"serves no variant 'slim': model\.onnx was changed; served: base, light"
    ):
        Unserved(absent={"slim": "model.onnx was changed"}).require("linear", "slim", SERVED)


def test_a_variant_that_is_missing_here_may_come_back() -> None:
    """A variant that is missing in this gateway raises VariantUnavailable, as it may come back."""
    with pytest.raises(VariantUnavailable, match=r"'slim' of 'linear' .*: no memory"):
        Unserved(missing={"slim": "no memory"}).require("linear", "slim", SERVED)


def test_an_unknown_variant_says_what_was_probably_meant() -> None:
    """The error for an unknown variant suggests the nearest served one."""
    with pytest.raises(UnknownVariant, match="serves no variant 'lihgt'; did you mean 'light'"):
        Unserved().require("linear", "lihgt", SERVED)
