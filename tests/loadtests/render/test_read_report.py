import json
from pathlib import Path

import pytest

from loadtests.errors import LoadTestError
from loadtests.render.read_report import read_report
from tests.loadtests.reports import make_report


def test_no_file_is_told(tmp_path: Path) -> None:
    """A missing file is refused with the option that writes one."""
    with pytest.raises(LoadTestError, match=r"cannot read the report .*No such file.*--json"):
        read_report(tmp_path / "missing.json")


@pytest.mark.parametrize("content", [b"", b"<html>", b"\xff\xfe", b"[" * 100_000])
def test_no_json_is_told(tmp_path: Path, content: bytes) -> None:
    """A file that is not JSON is refused, whatever it contains."""
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(LoadTestError, match=r"report.json is not JSON"):
        read_report(path)


@pytest.mark.parametrize("content", [[], {}, {"model": "digits"}, 7])
def test_other_json_is_told(tmp_path: Path, content: object) -> None:
    """JSON without `schema_version` is refused."""
    path = tmp_path / "report.json"
    path.write_text(json.dumps(content))
    with pytest.raises(LoadTestError, match=r"it has no schema_version"):
        read_report(path)


def test_another_version_is_told(tmp_path: Path) -> None:
    """The error gives both versions and the fix."""
    path = tmp_path / "report.json"
    path.write_text('{"schema_version": 1}')
    with pytest.raises(LoadTestError, match=r"has schema version 1, expected 2; measure again"):
        read_report(path)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("kind", "walk", "kind: Input should be 'run'"),
        ("sende", {}, "unknown key 'sende'"),
        ("started_at", "yesterday", "started_at: String should match"),
        ("requests", None, "requests: Input should be a valid integer"),
    ],
)
def test_a_damaged_report_is_told_by_the_field(tmp_path: Path, name: str, value: object, fault: str) -> None:
    """The error names each invalid field."""
    path = tmp_path / "report.json"
    path.write_text(json.dumps(json.loads(make_report().model_dump_json()) | {name: value}))
    with pytest.raises(LoadTestError, match=fault):
        read_report(path)
