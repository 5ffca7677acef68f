from pathlib import Path

from tests.schedule import LINES


def test_every_file_of_the_schedule_exists() -> None:
    """Each file that the schedule lists exists under `tests`; a renamed file would start last."""
    tests = Path(__file__).parents[1]
    assert [file for line in LINES for file in line if not (tests / file).is_file()] == []
