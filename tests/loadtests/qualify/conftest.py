"""The command in a process of its own, with short probes, and a server whose rollouts do what a test says."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from serve.rollout.evidence.evidence import Evidence
from tests.loadtests.loadtest_process import Finished
from tests.serve.endpoint import Endpoint
from tests.serve.local_control import LocalControl

# The search tries one rate for half a second and finds it too high, without a warm-up. A moment in which the
# machine is busy does not invalidate the trial.
_COMMAND = """
import sys
from functools import partial
from loadtests.judging import checks as guards
from loadtests.judging import probe
from loadtests.judging import search
from loadtests.judging import validity
from loadtests.kinds import capacity, load
from loadtests.qualify import stages as chain
from loadtests.qualify import rollout_stages as trial
probe.LEAST_S = probe.SEARCH_S = 0.5
search._MOST_PER_S = 30
capacity._WARMUP_S = capacity._REST_S = load._SETTLE_S = 0
chain.make_plan = partial(chain.make_plan, warmup_s=0)
guards.COMPLETED = 0
validity.STOLEN = 1
trial._LOOK_EVERY_S = 0.4
trial._LEAST_S = 0
from counterweight import main
sys.exit(main(["qualify", *sys.argv[1:]]))
"""
# A busy machine meets all of these limits.
LIMITS = ("p99_ms=9000", "errors=0.5", "rate_per_s=100", "duration_s=2", "agreement=0.9")


def judge_each_look(control: LocalControl, *evidence: Evidence) -> None:
    """Let the rollout be judged on the next evidence at each look, four seconds later each time."""
    left, ago_s = list(evidence), itertools.count(-4, -4)

    def judge(operation: str) -> None:
        if operation == "view" and left and control.keeper.running:
            control.keeper.judge(left.pop(0), next(ago_s))

    control.before = judge


@dataclass(kw_only=True)
class Qualify:
    """The command against one server."""

    endpoint: Endpoint
    folder: Path
    limits: tuple[str, ...] = field(default=LIMITS)

    def run(self, *arguments: str) -> Finished:
        """Run the command to its end."""
        with self.started(*arguments) as process:
            out, err = process.communicate(timeout=200)
        return Finished(code=process.returncode, out=out, err=err)

    @contextmanager
    def started(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """The running command while the context lasts."""
        command = [sys.executable, "-W", "error", "-c", _COMMAND, "linear", "--url", self.endpoint.url]
        limits = [word for limit in self.limits for word in ("--set", limit)]
        with subprocess.Popen(
            [*command, "--to", "light", *limits, *arguments],
            cwd=Path(__file__).parents[3],
            env={name: value for name, value in os.environ.items() if not name.startswith("COUNTERWEIGHT")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def interrupted(self, *arguments: str) -> Finished:
        """Run the command and interrupt it as soon as the rollout runs."""
        with self.started(*arguments) as process:
            while not self.is_running and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=200)
        return Finished(code=process.returncode, out=out, err=err)

    @property
    def is_running(self) -> bool:
        """Return whether a rollout runs."""
        return self.endpoint.control.keeper.running


@pytest.fixture
def qualify(module_repository: Path, tmp_path: Path) -> Iterator[Callable[..., Qualify]]:
    """Return the command for a server whose rollouts see this evidence."""
    opened: list[Endpoint] = []

    def make(*evidence: Evidence) -> Qualify:
        endpoint = Endpoint(repository=module_repository, control=LocalControl("none"))
        opened.append(endpoint.__enter__())
        judge_each_look(endpoint.control, *evidence)
        return Qualify(endpoint=endpoint, folder=tmp_path)

    yield make
    for endpoint in opened:
        endpoint.__exit__()
