"""The cells of errors: equal, twice as bad and cheaper candidates, under different conditions."""

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any, Literal

from serve.rollout.state.policy import Policy
from tests.serve.rollout.requirements import Cell, Found, Requirement, median_said
from tests.serve.rollout.simulate import Runs, simulate
from tests.serve.rollout.traffic import Scenario

HOUR_S, WITHIN_S = 3600, 1800
WARM_UP: dict[str, Any] = {"warm_up_s": (5.0, 20.0)}
DISTURBANCES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "bursts of both at once": {"bursts": "shared"},
    "bursts of either": {"bursts": "apart"},
    "stalls of 3 s": {"stalls_s": 3.0},
    "stalls of 10 s": {"stalls_s": 10.0},
    "stalls of 30 s": {"stalls_s": 30.0},
    "stalls of 10 s of one of three replicas": {"stalls_s": 10.0, "replicas": 3},
    "stalls of 30 s of one of four replicas": {"stalls_s": 30.0, "replicas": 4},
    "warm-up of 5 to 20 s": WARM_UP,
    "three retries": {"retries": 3},
    "the time of day": {"diurnal": True},
    "the clock an hour ahead": {"clock_jump_s": 3600.0},
    "the clock an hour ahead, keeper restarts": {"clock_jump_s": 3600.0, "restarts": True},
    "the clock set back an hour, keeper restarts": {"clock_jump_s": -3600.0, "restarts": True},
    "stalls of 10 s, warm-up, retries, the time of day": {
        **WARM_UP,
        "stalls_s": 10.0,
        "retries": 3,
        "diurnal": True,
    },
}
NEVER_BACK = Requirement("rolled back", at_most=0.01)
SOON_BACK = (Requirement("rolled back", at_least=0.99), Requirement("promoted", at_most=0.01))
PROMOTED = (Requirement("promoted", at_least=0.9), NEVER_BACK)


def find(scenario: Scenario, runs: int) -> Found:
    """Return how the rollouts of one scenario end."""
    return found_of(simulate(scenario, Policy(), runs=runs, seed=5))


def found_of(ended: Runs) -> Found:
    """Return how the rollouts ended, and when, counted from a change if there is one."""
    runs, since_s = ended.count, ended.scenario.change_s or 0
    back = ended.rolled_back_s[ended.rolled_back_s >= 0]
    done = ended.done_s[ended.done_s >= 0]
    late = ended.rolled_back_s > since_s
    bad = ended.errors_met[late].mean() if late.any() else 0.0
    said = [median_said(back[back > since_s] - since_s, "back"), median_said(done, "promoted")]
    said += [f"{bad:,.0f} errors of the candidate until then (mean)"] if late.sum() > runs / 2 else []
    counts = {
        "rolled back": int(late.sum()),
        "promoted": len(done),
        "rolled back before": int((back <= since_s).sum()),
    }
    return Found(runs, counts, "; ".join(filter(None, said)))


def verdict_cells(fast: bool) -> Iterator[Cell]:
    """Fast: shorter, and with fewer rollouts."""
    runs = 100 if fast else 1000
    for name, disturbance in DISTURBANCES.items():
        kinds: dict[str, tuple[dict[str, Any], tuple[Requirement, ...]]] = {
            "equal": ({"seconds": 600 if fast else WITHIN_S, "look_every_s": 10}, (NEVER_BACK,)),
            "twice the errors": ({"seconds": WITHIN_S, "errors": (0.02, 0.04)}, SOON_BACK),
            "30 % cheaper": ({"seconds": 4 * HOUR_S, "cost": 0.7}, PROMOTED),
        }
        for kind, (fields, asked) in kinds.items():
            scenario = Scenario(requests_per_s=100, **disturbance, **fields)
            yield Cell(
                group="errors", name=f"{kind}: {name}", asked=asked, find=partial(find, scenario), runs=runs
            )


def high_cells(fast: bool) -> Iterator[Cell]:
    """Cells with far more errors from the first second on, which are a rate and no stall. A failure of half
    of the requests may count as a stall for minutes, and a total failure is stopped by each gateway's circuit
    breaker."""
    for errors in (0.1, 0.2, 0.5, 0.8):
        scenario = Scenario(requests_per_s=100, seconds=WITHIN_S, errors=(0.002, errors))
        yield Cell(
            group="high",
            name=f"0.2 to {errors:.0%} of errors",
            asked=SOON_BACK,
            find=partial(find, scenario),
            runs=100 if fast else 1000,
        )


def calm_cells(fast: bool) -> Iterator[Cell]:
    """Twice the errors from one second on, after hours of calm at 25 %."""
    asked = (
        Requirement("rolled back", at_least=0.99),
        Requirement("rolled back before", at_most=0.01),
    )
    for hours in (1,) if fast else (1, 8, 20):
        scenario = Scenario(
            requests_per_s=100,
            seconds=hours * HOUR_S + WITHIN_S,
            change_s=hours * HOUR_S,
            split=0.25,
            look_every_s=60,
        )
        yield Cell(
            group="calm",
            name=f"2 to 4 % of errors after {hours} h of calm",
            asked=asked,
            find=partial(find, scenario),
            runs=20 if fast else 1000,
        )


def day_cells() -> Iterator[Cell]:
    """Equal variants that cost the same: they stay at half of the traffic for the whole day."""
    for name in ("stalls of 30 s", "the time of day", "stalls of 10 s, warm-up, retries, the time of day"):
        scenario = Scenario(requests_per_s=100, seconds=24 * HOUR_S, look_every_s=60, **DISTURBANCES[name])
        yield Cell(
            group="day", name=f"equal, a day: {name}", asked=(NEVER_BACK,), find=partial(find, scenario)
        )


def rate_cells() -> Iterator[Cell]:
    """Other rates of requests, and a split that stays."""
    kinds: tuple[Literal["none", "shared", "apart"], ...] = ("none", "shared", "apart")
    for bursts, split in product(kinds, (0.01, 0.05, 0.1)):
        scenario = Scenario(requests_per_s=100, seconds=HOUR_S, bursts=bursts, split=split)
        yield Cell(
            group="rates",
            name=f"equal at {split:.0%}, bursts: {bursts}",
            asked=(NEVER_BACK,),
            find=partial(find, scenario),
        )
    for rate in (10.0, 1000.0):
        worse: dict[str, dict[str, Any]] = {
            "three times the errors": {"errors": (0.02, 0.06)},
            "p99 doubled": {"over_limit": (0.0028, 0.174)},
        }
        for name, fields in worse.items():
            scenario = Scenario(requests_per_s=rate, seconds=2 * HOUR_S, **fields)
            yield Cell(
                group="rates", name=f"{name}, {rate:g}/s", asked=SOON_BACK, find=partial(find, scenario)
            )
        for errors in (0.02, 0.0):
            scenario = Scenario(
                requests_per_s=rate, seconds=12 * HOUR_S, errors=(errors, errors), cost=0.7, look_every_s=20
            )
            name = f"30 % cheaper, {errors:.0%} of errors, {rate:g}/s"
            yield Cell(group="rates", name=name, asked=PROMOTED, find=partial(find, scenario))
