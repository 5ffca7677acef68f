import platform
from types import SimpleNamespace

import psutil
import pytest

from loadtests.sending.machine import StealClock, read_environment


def test_the_machine_is_named() -> None:
    """The environment has the processor, its cores, the Python version and the steal share."""
    environment = read_environment(0.02)
    assert environment.cpu
    assert environment.cores >= 1
    assert environment.python == platform.python_version()
    assert environment.steal == 0.02


def _times(**cpu_s: float) -> SimpleNamespace:
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest")

    class Times(SimpleNamespace):
        def __getitem__(self, part: slice) -> list[float]:
            return [cpu_s.get(name, 0.0) for name in names][part]

    return Times(**{name: cpu_s.get(name, 0.0) for name in names})


def test_stolen_time_is_a_share_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steal is the share of the CPU time since the clock was made."""
    readings = [_times(idle=5, steal=1), _times(user=3, idle=10, steal=3, guest=3)]
    monkeypatch.setattr(psutil, "cpu_times", lambda: readings.pop(0))
    assert StealClock().share() == pytest.approx(0.2)


def test_a_system_that_does_not_tell_is_not_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a system without these files, such as macOS, the share is None."""
    monkeypatch.setattr(psutil, "cpu_times", lambda: SimpleNamespace(user=1, idle=2))
    assert StealClock().share() is None
