"""A library's error becomes one line that says why."""

import pytest

from export.errors import reason_of


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("it broke\n  in a.cc:3", "it broke"),
        (
            "Found the following conflicts:\n\n- the batch is\n- more",
            "Found the following conflicts: - the batch is",
        ),
        ("a,\nb:\n  c.", "a, b: c"),
        ("only this:", "only this"),
        ("", "ValueError"),
        ("x" * 1000, "x" * 400 + "..."),
    ],
    ids=["first line", "announced", "several", "nothing behind", "empty", "long"],
)
def test_a_reason_is_whole(said: str, expected: str) -> None:
    """The reason has the first line and those that it introduces, and ends without a colon."""
    assert reason_of(ValueError(said)) == expected
