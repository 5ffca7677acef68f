from pathlib import Path

import pytest

from loadtests.errors import LoadTestError
from loadtests.render.read_report import read_report
from loadtests.render.write import check_paths, write_all
from loadtests.report import LoadReport
from tests.loadtests.reports import make_hostile, make_report


def test_each_file_holds_what_its_name_says(tmp_path: Path) -> None:
    """Each format is written to its path, and no other file is made."""
    paths = {name: tmp_path / name for name in ("json", "html", "markdown", "junit")}
    write_all(make_report(), **paths)
    begins = {"json": "{", "html": "<!doctype html>", "markdown": "**PASS**", "junit": "<?xml version"}
    assert all(path.read_text().startswith(begins[name]) for name, path in paths.items())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(paths)


def test_only_what_is_asked_is_written(tmp_path: Path) -> None:
    """Only the requested files are written."""
    write_all(make_report(), markdown=tmp_path / "comment.md")
    assert [path.name for path in tmp_path.iterdir()] == ["comment.md"]


@pytest.mark.parametrize("report", [make_report("capacity"), make_hostile("compare")])
def test_the_json_reads_back(tmp_path: Path, report: LoadReport) -> None:
    """A report is the same after it is written and read."""
    path = tmp_path / "report.json"
    write_all(report, json=path)
    assert read_report(path) == report


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """Writing to a symbolic link replaces its target."""
    target, link = tmp_path / "real.json", tmp_path / "link.json"
    target.write_text("old")
    link.symlink_to(target)
    write_all(make_report(), json=link)
    assert link.is_symlink()
    assert read_report(target) == make_report()


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """A write that fails raises an error and leaves no file."""
    with pytest.raises(LoadTestError, match=r"cannot write .*No such file"):
        write_all(make_report(), json=tmp_path / "gone" / "report.json")
    folder = tmp_path / "report.md"
    folder.mkdir()
    with pytest.raises(LoadTestError, match="Is a directory"):
        write_all(make_report(), markdown=folder)
    assert list(tmp_path.iterdir()) == [folder]


def test_good_paths_pass(tmp_path: Path) -> None:
    """New paths and existing files pass the check and are not changed."""
    there = tmp_path / "there.json"
    there.write_text("old")
    check_paths(json=there, html=tmp_path / "new.html", markdown=None, junit=None)
    assert there.read_text() == "old"
    assert list(tmp_path.iterdir()) == [there]


def test_a_missing_folder_is_refused_at_the_door(tmp_path: Path) -> None:
    """A missing folder is refused before any load is sent."""
    with pytest.raises(LoadTestError, match=r"--html .*page.html: there is no folder .*missing; make it"):
        check_paths(html=tmp_path / "missing" / "page.html")


@pytest.mark.parametrize("path", [Path(), Path("/dev/null")])
def test_what_is_no_file_is_refused(path: Path) -> None:
    """A path that is not a regular file is refused."""
    with pytest.raises(LoadTestError, match=r"--junit .* is not a regular file"):
        check_paths(junit=path)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without write access is refused."""
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(LoadTestError, match=r"--json .* nothing can be written in"):
        check_paths(json=tmp_path / "report.json")


def test_two_outputs_need_two_files(tmp_path: Path) -> None:
    """Two options with the same path are refused."""
    path = tmp_path / "report"
    with pytest.raises(LoadTestError, match=r"--json and --markdown both name"):
        check_paths(json=path, markdown=path.parent / "." / "report")
