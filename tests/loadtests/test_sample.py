import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests.errors import LoadTestError
from loadtests.sample import Sample, check_records_path, write_records

_ANSWERED = Sample(intended_s=1, sent_s=1.25, done_s=1.5, pinned=None, variant="fp32", status=200, error=None)


def test_lateness_counts_from_the_intended_moment() -> None:
    """It is the sender's own delay, in milliseconds."""
    assert _ANSWERED.lateness_ms == 250


def test_records_are_one_json_object_a_line(tmp_path: Path) -> None:
    """Every field is there, null where there is nothing to say."""
    failed = Sample(intended_s=2, sent_s=2, pinned="int8", error="refused")
    write_records(tmp_path / "records.jsonl", [_ANSWERED, failed])
    first, second = map(json.loads, (tmp_path / "records.jsonl").read_text().splitlines())
    assert first == {
        "intended_s": 1,
        "sent_s": 1.25,
        "done_s": 1.5,
        "pinned": None,
        "variant": "fp32",
        "status": 200,
        "error": None,
    }
    assert (second["done_s"], second["variant"], second["status"]) == (None, None, None)


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    """The records appear whole or not at all, and no scrap stays behind."""
    path = tmp_path / "records.jsonl"
    path.write_text("old")

    def samples() -> Iterator[Sample]:
        yield _ANSWERED
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_records(path, samples())
    assert [file.name for file in tmp_path.iterdir()] == ["records.jsonl"]
    assert path.read_text() == "old"


def test_a_missing_folder_is_told_before_the_run(tmp_path: Path) -> None:
    """Nobody loads a server for minutes to learn that there is no place for the records."""
    with pytest.raises(LoadTestError, match="cannot write the records to"):
        check_records_path(tmp_path / "missing" / "records.jsonl")
