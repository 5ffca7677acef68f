"""The command, in a process of its own, since locust patches the process it is imported in."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a command left behind."""

    code: int
    out: str
    err: str


def start_loadtest(*arguments: str) -> "subprocess.Popen[str]":
    """`counterweight loadtest` with these arguments, its output in pipes."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "counterweight", "loadtest", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_loadtest(*arguments: str) -> Finished:
    """The same, run to its end."""
    with start_loadtest(*arguments) as process:
        out, err = process.communicate(timeout=300)
    return Finished(code=process.returncode, out=out, err=err)


def run_python(script: str, *arguments: str) -> Any:
    """What a script writes to its standard output, read as JSON."""
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)
