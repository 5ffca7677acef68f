"""The files that foreign code reads are seen and digested."""

from pathlib import Path

from export.sandbox.opened_files import digest_files, record_reads


def test_files_that_were_read_are_collected(tmp_path: Path) -> None:
    """A file that was read in the folder is collected; a written, a missing, and a Python file are not."""
    outside = tmp_path / "outside.json"
    folder = tmp_path / "inside"
    folder.mkdir()
    for path in (outside, folder / "config.json", folder / "code.py", folder / "unread.json"):
        path.write_text("1")
    with record_reads([folder]) as opened:
        (folder / "config.json").read_text()
        (folder / "code.py").read_text()
        (folder / "log.txt").write_text("2")
        outside.read_text()
        assert not (folder / "missing.json").exists()
    (folder / "unread.json").read_text()
    assert opened == {folder / "config.json"}


def test_what_python_reads_of_a_package_does_not_count(tmp_path: Path) -> None:
    """The metadata of packages are read at the first import only, so they would change the digest."""
    path = tmp_path / "counterweight.egg-info" / "entry_points.txt"
    path.parent.mkdir()
    path.write_text("[console_scripts]")
    with record_reads([tmp_path]) as opened:
        path.read_text()
    assert opened == set()


def test_a_relative_path_counts(tmp_path: Path) -> None:
    """A file that was opened by a path relative to the current folder is collected with its whole path."""
    with record_reads([Path.cwd()]) as opened:
        Path("pyproject.toml").read_bytes()
    assert opened == {Path.cwd() / "pyproject.toml"}


def test_the_digest_is_of_places_and_contents(tmp_path: Path) -> None:
    """The digest is the same in a moved folder, and another if a file changes."""
    digests = []
    for name, content in (("one", "1"), ("two", "1"), ("three", "2")):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "config.json"
        path.write_text(content)
        digests.append(digest_files({path}, tmp_path / name))
    assert digests[0] == digests[1] != digests[2]
