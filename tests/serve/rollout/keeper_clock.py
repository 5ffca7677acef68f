"""The clock of a simulated keeper whose machine's clock is changed."""

from collections.abc import Callable
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np

from serve.rollout import clock
from serve.rollout.evidence.evalues import Array
from tests.serve.rollout.traffic import Scenario, Whole


def keeper_clock(scenario: Scenario) -> Callable[[Whole | int], Array]:
    """Return what a keeper's clock shows after each second. The wall clock is moved by `clock_jump_s`, and
    the keeper may restart with the state of a second before."""
    wall = SimpleNamespace(passed_s=0.0, set_by_s=0.0)
    times = SimpleNamespace(time=lambda: wall.passed_s + wall.set_by_s)
    shown = np.arange(scenario.seconds + 1.0)
    if scenario.clock_jump_s:
        with patch.object(clock, "time", times), patch.object(clock, "monotonic", lambda: wall.passed_s):
            keeper = clock.SteadyClock()
            for second in range(scenario.seconds + 1):
                wall.passed_s = float(second)
                if second == scenario.clock_at_s:
                    wall.set_by_s = scenario.clock_jump_s
                    keeper = clock.SteadyClock() if scenario.restarts else keeper
                    keeper.not_before(shown[second - 1])
                shown[second] = keeper.now_s()
    return lambda passed_s: shown[np.asarray(passed_s)]
