from pathlib import Path

import pytest

from loadtests.errors import LoadTestError
from loadtests.sending.input_words import parse_inputs


def test_the_words_say_what_the_requests_contain() -> None:
    """Columns are names or patterns, and a range has two ends."""
    read = parse_inputs(Path("rows.csv"), ["pixels=p*,q0", "age=years"], [], 3)
    assert read.columns == {"pixels": ("p*", "q0"), "age": ("years",)}
    assert (read.path, read.seed) == (Path("rows.csv"), 3)
    assert parse_inputs(None, [], ["age=-1.5:90"], 0).ranges == {"age": (-1.5, 90.0)}


@pytest.mark.parametrize(
    ("path", "columns", "ranges", "complaint"),
    [
        (None, ["x=a"], [], "add --inputs FILE"),
        (Path("rows.npz"), [], ["x=0:1"], "leave out one"),
        (Path("rows.npz"), ["x"], [], "--columns 'x' names nothing"),
        (Path("rows.npz"), ["x="], [], "--columns 'x=' names nothing"),
        (None, [], ["x=1"], "--range 'x=1' is no range"),
        (None, [], ["x=2:1"], "--range 'x=2:1' is no range"),
        (None, [], ["x=nan:1"], "is no range; write INPUT=LOW:HIGH"),
        (None, [], ["1:2"], "is no range"),
    ],
)
def test_words_that_say_nothing_are_refused(
    path: Path | None, columns: list[str], ranges: list[str], complaint: str
) -> None:
    """The error shows how to write the option."""
    with pytest.raises(LoadTestError, match=complaint):
        parse_inputs(path, columns, ranges, 0)
