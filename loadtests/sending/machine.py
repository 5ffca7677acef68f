"""Describes the machine that sends the load."""

import importlib.metadata
import platform
from pathlib import Path

import psutil

from loadtests.judging.contention import Contention, count_cores
from loadtests.report import Environment


def read_environment(steal: float | None, contention: Contention | None = None) -> Environment:
    """Describe this machine, with the share of CPU time that its host gave to others and the contention by
    other programs."""
    return Environment(
        cpu=cpu_name(),
        cores=count_cores(),
        python=platform.python_version(),
        locust=importlib.metadata.version("locust"),
        steal=steal,
        contention=contention,
    )


class StealClock:
    """Measures the share of CPU time that the host gave to other guests since the clock was created."""

    def __init__(self) -> None:
        self._before = psutil.cpu_times()

    def share(self) -> float | None:
        """Return the share, from 0 to 1; None if the system does not report it."""
        now = psutil.cpu_times()
        if not hasattr(now, "steal"):
            return None
        total = sum(now[:8]) - sum(self._before[:8])
        return max(0.0, min(1.0, (now.steal - self._before.steal) / total)) if total > 0 else None


def cpu_name() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()
