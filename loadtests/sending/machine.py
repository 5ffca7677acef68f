"""Environment: the machine that the load came from."""

import importlib.metadata
import platform
from pathlib import Path

import psutil

from loadtests.judging.contention import Contention, count_cores
from loadtests.report import Environment


def read_environment(steal: float | None, contention: Contention | None = None) -> Environment:
    """This machine, whose host gave `steal` of its CPU time to others meanwhile, and its other programs
    wanted so much of it."""
    return Environment(
        cpu=cpu_name(),
        cores=count_cores(),
        python=platform.python_version(),
        locust=importlib.metadata.version("locust"),
        steal=steal,
        contention=contention,
    )


class StealClock:
    """How much of the machine's CPU time others had since it was made."""

    def __init__(self) -> None:
        self._before = psutil.cpu_times()

    def share(self) -> float | None:
        """0 to 1; None: the system does not tell."""
        now = psutil.cpu_times()
        if not hasattr(now, "steal"):
            return None
        total = sum(now[:8]) - sum(self._before[:8])
        return max(0.0, min(1.0, (now.steal - self._before.steal) / total)) if total > 0 else None


def cpu_name() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()
