"""Locust's own command in a process of its own, with our locustfile."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.loadtests.known_server import MODEL

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start_locust() -> Iterator[Start]:
    """Start `locust -f loadtests/locustfile.py`; processes that still run at the end are killed."""
    with contextlib.ExitStack() as stack:

        def start(url: str, *arguments: str) -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--host", url, *arguments],
                cwd=Path(__file__).parents[3],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                # The workers are killed with their session.
                start_new_session=True,
            )
            stack.callback(_stop, process)
            return process

        yield start


@pytest.fixture
def options(tmp_path: Path) -> tuple[str, ...]:
    """A load of 60/s, with no warm-up, whose report is `report.json` in the test's folder."""
    report = str(tmp_path / "report.json")
    return ("--model", MODEL, "--rate", "60", "--warmup", "0", "--report", report)


def _stop(process: "subprocess.Popen[str]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
