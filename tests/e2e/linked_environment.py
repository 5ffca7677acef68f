"""The environment of a host with few extras, linked from this one in seconds."""

import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def link_environment(project: Path, extras: Iterable[str]) -> dict[str, str]:
    """Make `.venv` in the project's folder with the project, the packages of these extras and their
    requirements, as they are installed here. Returns the versions by name. Raises PackageNotFoundError if one
    of them is not installed."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=project, check=True)
    installed = Path(sysconfig.get_path("purelib"))
    target = project / ".venv" / installed.relative_to(sys.prefix)
    about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    _write_editable(target, project, about)
    wanted = [
        *about["dependencies"],
        *(need for extra in extras for need in about["optional-dependencies"][extra]),
    ]
    found = _closure(map(Requirement, wanted))
    # Commands are in another folder, and their first line names this environment's interpreter.
    for file in {file for one in found.values() for file in one.files or () if ".." not in file.parts}:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        (target / file).symlink_to(installed / file)
    return {name: one.version for name, one in found.items()}


def _write_editable(target: Path, project: Path, about: dict[str, Any]) -> None:
    """What `pip install --editable` leaves: where the project lies, and its version."""
    name, version = about["name"], about["version"]
    (target / f"{name}.pth").write_text(f"{project}\n")
    metadata = target / f"{name}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n")


def _closure(wanted: Iterable[Requirement]) -> dict[str, Distribution]:
    """Return all requirements of these, with their extras."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(one, extra) for one in wanted for extra in ("", *one.extras)]
    while todo:
        requirement, extra = todo.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        found[name] = distribution(name)
        todo += [
            (need, more)
            for need in map(Requirement, found[name].requires or ())
            if need.marker is None or need.marker.evaluate({"extra": extra})
            for more in ("", *need.extras)
        ]
    return found
