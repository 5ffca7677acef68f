"""Creates a virtual environment for each server on demand, so that their pinned versions do not conflict."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from loadtests.errors import LoadTestError

_LONGEST_S = 1800


def requirements_of(*packages: str) -> tuple[str, ...]:
    """Return `packages` with the onnxruntime and numpy versions that we use."""
    return (*packages, *(f"{name}=={version(name)}" for name in ("onnxruntime", "numpy")))


def make_environment(folder: Path, requirements: tuple[str, ...]) -> Path:
    """Create the environment and return its folder of programs; an environment with the same requirements is
    reused. Raises LoadTestError."""
    ready = folder / "ready.txt"
    content = "\n".join(requirements)
    if not ready.exists() or ready.read_text() != content:
        sys.stderr.write(f"{folder.name}: making its environment, a minute or two the first time\n")
        _run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)])
        python = str(folder / "bin" / "python")
        _run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", *requirements])
        ready.write_text(content)
    return folder / "bin"


def _run(command: list[str]) -> None:
    what = " ".join(command[-3:])
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LoadTestError(f"{what} did not run: {error}") from None
    if ended.returncode:
        output = "\n".join((ended.stdout + ended.stderr).strip().splitlines()[-5:])
        raise LoadTestError(f"{what} ended with {ended.returncode}: {output}")
