"""Writes a report in the requested formats to files."""

import os
from pathlib import Path

from loadtests.errors import LoadTestError
from loadtests.render.junit import junit as make_junit
from loadtests.render.markdown import markdown as make_markdown
from loadtests.report import LoadReport
from serve.base.atomic_file import write_whole


def check_paths(
    *,
    json: Path | None = None,
    html: Path | None = None,
    markdown: Path | None = None,
    junit: Path | None = None,
    records: Path | None = None,
) -> None:
    """Raises LoadTestError, before any load is sent, if one of the files could not be written."""
    seen: dict[Path, str] = {}
    files = {"--json": json, "--html": html, "--markdown": markdown, "--junit": junit, "--records": records}
    for name, path in files.items():
        if path is None:
            continue
        _check(name, path)
        other = seen.setdefault(path.resolve(), name)
        if other != name:
            raise LoadTestError(f"{other} and {name} both name {path}; give each a file of its own")


def _check(name: str, path: Path) -> None:
    if not path.parent.is_dir():
        raise LoadTestError(f"{name} {path}: there is no folder {path.parent}; make it, or name another file")
    if path.exists() and not path.is_file():
        raise LoadTestError(f"{name} {path} is not a regular file; name a file")
    if not os.access(path.resolve().parent, os.W_OK):
        raise LoadTestError(
            f"{name} {path}: nothing can be written in {path.resolve().parent}; name another file"
        )


def write_all(
    report: LoadReport,
    *,
    json: Path | None = None,
    html: Path | None = None,
    markdown: Path | None = None,
    junit: Path | None = None,
) -> None:
    """Write each file completely or not at all. The JSON comes first, because the others can be made from it.

    Raises LoadTestError if a file cannot be written."""
    if json is not None:
        write_text(json, report.model_dump_json(indent=2) + "\n")
    if markdown is not None:
        write_text(markdown, make_markdown(report))
    if junit is not None:
        write_text(junit, make_junit(report))
    if html is not None:
        from loadtests.render.page import page  # slow to import, since it draws

        write_text(html, page(report))


def write_text(path: Path, text: str) -> None:
    """Write the file completely or not at all. Raises LoadTestError."""
    try:
        write_whole(path, text)
    except OSError as error:
        raise LoadTestError(
            f"cannot write {path}: {error.strerror}; make room, or name another file"
        ) from None
