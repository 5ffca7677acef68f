"""The size of a row on the wire."""

import pytest

from serve.base.tensor import Signature, TensorSpec
from serve.oip.metadata import example_shapes, wire_parameters
from serve.oip.row_sizes import advise

_LIMIT = 16 * 2**20


def _forms(datatype: str, *shape: int | str) -> tuple[Signature, ...]:
    output = TensorSpec(name="y", datatype="FP32", shape=("batch", 2))
    return (Signature(inputs=(TensorSpec(name="x", datatype=datatype, shape=shape),), outputs=(output,)),)


_IMAGE = _forms("FP32", "batch", 3, 640, 640)


def test_an_image_is_over_the_limit_as_json_and_the_metadata_says_so() -> None:
    """An image of 4.9 MB takes 24.6 MB as JSON, and the metadata gives both sizes and the limit."""
    assert wire_parameters(_IMAGE, _LIMIT) == {
        "max_body_bytes": 16777216,
        "row_json_bytes": 24576000,
        "row_binary_bytes": 4915200,
    }


@pytest.mark.parametrize(
    "forms", [_forms("FP32", "batch", "width"), _forms("BYTES", "batch", 4)], ids=["free", "strings"]
)
def test_a_row_that_varies_has_no_size(forms: tuple[Signature, ...]) -> None:
    """A row of variable length has no size, and the metadata gives the limit alone."""
    assert wire_parameters(forms, _LIMIT) == {"max_body_bytes": _LIMIT}


@pytest.mark.parametrize(
    ("forms", "binary", "words"),
    [
        (_IMAGE, False, "about 24576000 bytes as JSON and 4915200 as bytes"),
        (_IMAGE, True, "send fewer rows in a request"),
        (_forms("FP32", "batch", "width"), False, "the JSON (binary_data_size)"),
        (_forms("FP32", "batch", 2**23), True, "start the server with a higher max_body_bytes"),
    ],
    ids=["JSON", "bytes", "free", "larger than any"],
)
def test_who_sends_too_much_hears_the_way_out(forms: tuple[Signature, ...], binary: bool, words: str) -> None:
    """The advice for a request that is too large depends on the size of a row and the form."""
    assert words in advise(forms, _LIMIT, binary=binary)


def test_dimensions_that_vary_have_an_example() -> None:
    """A variable shape has an example only if the sizes of all its dimensions are known."""
    forms = _forms("FP32", "batch", 3, "height", "width")
    assert example_shapes(forms, {"height": 48, "width": 192}) == {"x": [1, 3, 48, 192]}
    assert example_shapes(forms, {"height": 48}) == {}
    assert example_shapes(_IMAGE, {}) == {}
