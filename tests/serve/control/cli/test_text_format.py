import pytest

from serve.control.cli.text_format import duration, percent, printable


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"),
        (59.6, "1 min"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (86_400 + 7_260, "1 d 2 h"),
        (-5, "0 s"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, words: str) -> None:
    """A duration is written with its two largest units."""
    assert duration(seconds) == words


def test_a_share_has_three_digits() -> None:
    """Shares have three significant digits, so small ones stay visible."""
    assert [percent(share) for share in (None, 0.0, 0.0012345, 0.25, 1.0)] == [
        "-",
        "0 %",
        "0.123 %",
        "25 %",
        "100 %",
    ]


def test_what_cannot_be_printed_is_a_question_mark() -> None:
    """Characters that cannot be printed are replaced by `?`, and other letters are kept."""
    assert printable("größe\x1b[2J\n") == "größe?[2J?"
