import pytest

from serve.errors import UnknownVariant
from serve.unserved import require_served

SERVED = {"base": 1, "light": 2}


def test_a_variant_that_is_served_is_no_matter() -> None:
    """Also where an older version of it was rejected."""
    require_served("linear", "light", SERVED, {"light": "poor"})


def test_a_rejected_variant_says_so_and_why() -> None:
    """A list of other names would only puzzle who made it."""
    with pytest.raises(
        UnknownVariant,
        match=r"serves no variant 'poor': it was rejected: accuracy 0\.50; served: base, light",
    ):
        require_served("linear", "poor", SERVED, {"poor": "accuracy 0.50"})


def test_an_unknown_variant_says_what_was_probably_meant() -> None:
    """The nearest that is served."""
    with pytest.raises(UnknownVariant, match="serves no variant 'lihgt'; did you mean 'light'"):
        require_served("linear", "lihgt", SERVED, {})
