"""A pattern finds layers by name, or raises an error."""

import pytest

from export.errors import StepFailed
from export.onnx.patterns import match

NAMES = ["encoder.0.query", "encoder.0.key", "encoder.1.query", "head"]


def test_finds_in_the_order_of_the_names() -> None:
    """Matches are in the order of the names, not of the patterns."""
    assert match(["head", "*.query"], NAMES, "modules") == ["encoder.0.query", "encoder.1.query", "head"]


def test_a_pattern_that_fits_nothing_is_an_error() -> None:
    """The error for a pattern without matches suggests the nearest name."""
    with pytest.raises(StepFailed, match=r"'encoder\.0\.qery' matches none of 4 modules; did you mean"):
        match(["head", "encoder.0.qery"], NAMES, "modules")
