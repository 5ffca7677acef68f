from pathlib import Path

from tests.schedule import LINES


def test_every_file_of_the_schedule_exists() -> None:
    """One that was renamed would be handed out last, and alone, without a word."""
    tests = Path(__file__).parents[1]
    assert [file for line in LINES for file in line if not (tests / file).is_file()] == []
