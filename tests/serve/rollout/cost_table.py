"""What the cost guard decides for equal, cheaper and dearer candidates: cells of
tests/serve/rollout/table.py.

Many rollouts run at once, each judged every second. Traffic and costs are drawn here, independently of the
code under test; the blocks are arrays (`test_cost_table.py` compares them with `Cost` and `weigh_cost`)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import partial
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from serve.rollout.evidence.evalues import Array
from serve.rollout.judging.cost import Contrast, contrast, log_cheaper
from serve.rollout.state.policy import Policy
from tests.serve.rollout.requirements import Cell, Found, Requirement, median_said

_MOST_BLOCKS = 32
_SHOWN = -math.log(1 - Policy().proof)
# The measured milliseconds of a run, and of each row in it.
_RUN_MS, _ROW_MS = 0.12, 0.012
_AT_ONCE, _TIMES_PER_S = 10, 7
_ROWS = np.arange(1.0, _AT_ONCE + 1)


class Second(NamedTuple):
    """What ran in a second; arrays [rollout, variant, size], the sizes being 1 to 10 rows."""

    runs: Array
    logs: Array
    ms: Array


@dataclass(frozen=True, kw_only=True)
class World:
    """The traffic and the true costs of both variants."""

    share: float
    # The candidate's cost at equal sizes over the baseline's.
    ratio: float = 1.0
    # The costs are those of runs of one row, or of batches of simultaneous requests.
    costs: Literal["lognormal", "pareto", "batches"] = "lognormal"
    sigma: float = 0.1
    runs_per_s: float = 50.0
    # Each variant's cost drifts on its own: AR(1) by the second, with this correlation and deviation.
    rho: float = 0.0
    drift: float = 0.0
    # This many users stick to a variant, and each has a cost of its own; their traffic is equal, or falls
    # with their rank (Zipf).
    users: int = 0
    spread: float = 0.5
    zipf: bool = False


@dataclass
class Rollouts:
    """The state of each rollout."""

    world: World
    rng: np.random.Generator
    count: int
    cheaper_by: float = Policy().cheaper_by or 0.0
    block_s: int = 1
    # When "cheaper" was first shown, in seconds; infinite if it has not been shown.
    shown_s: Array = field(init=False)
    evidence: Array = field(init=False)

    def __post_init__(self) -> None:
        self.shown_s = np.full(self.count, np.inf)
        self._blocks: list[Second] = []
        self._drift = self.rng.normal(0, self.world.drift, (self.count, 2))
        self._users, self._scatter, self._allowance = _users(self.world, self.rng, self.count)
        self._found: list[Contrast] = []

    def tick(self, second: int) -> Second:
        """A second of traffic, and a look."""
        drawn = self._draw()
        if second // self.block_s >= _MOST_BLOCKS:
            self.block_s *= 2
            self._blocks = [_sum(self._blocks[at : at + 2]) for at in range(0, len(self._blocks), 2)]
            self._found = [_contrast(block) for block in self._blocks]
        if second % self.block_s == 0:
            self._blocks.append(drawn)
            self._found.append(_contrast(drawn))
        else:
            self._blocks[-1] = _sum([self._blocks[-1], drawn])
            self._found[-1] = _contrast(self._blocks[-1])
        found = Contrast(*(np.concatenate(part, -1) for part in zip(*self._found, strict=True)))
        _, self.evidence = log_cheaper(found, self.block_s, self.cheaper_by, self._allowance)
        self.shown_s[(self.evidence >= _SHOWN) & np.isinf(self.shown_s)] = second + 1
        return drawn

    def _draw(self) -> Second:
        world, rng = self.world, self.rng
        stays = math.sqrt(1 - world.rho**2)
        self._drift = world.rho * self._drift + stays * rng.normal(0, world.drift, self._drift.shape)
        factors = np.exp(self._drift + self._users) * [1, world.ratio]
        if world.costs == "batches":
            return _batches(world, rng, factors)
        runs = rng.poisson(world.runs_per_s * np.array([1 - world.share, world.share]), factors.shape)
        if world.users:
            # There are many runs, so the mean of their logs is nearly normal.
            noise = rng.normal(0, 1, runs.shape) * np.sqrt(self._scatter * runs)
            return _of_one_row(runs, runs * np.log(factors) + noise, runs * factors)
        there = np.arange(runs.max(initial=1)) < runs[..., None]
        shape = there.shape
        ms = rng.pareto(1.3, shape) + 1 if world.costs == "pareto" else rng.lognormal(0, world.sigma, shape)
        ms = ms * factors[..., None]
        return _of_one_row(runs, np.where(there, np.log(ms), 0).sum(-1), np.where(there, ms, 0).sum(-1))


def _users(world: World, rng: np.random.Generator, count: int) -> tuple[Array, Array, Array]:
    """Return, for each rollout and variant, the mean of the logarithms of its users' costs and the variance
    between runs; and for each rollout the guard's allowance of 1.645 deviations of all runs."""
    if not world.users:
        return np.zeros((count, 2)), np.zeros((count, 2)), np.zeros(count)
    traffic = 1 / np.arange(1, world.users + 1) ** float(world.zipf)
    costs = rng.normal(0, world.spread, (count, world.users))
    mine = rng.random((count, world.users)) < world.share
    weights = np.stack([~mine, mine], 1) * traffic
    weights /= np.maximum(weights.sum(-1, keepdims=True), 1e-12)
    means = (weights * costs[:, None]).sum(-1)
    scatter = (weights * (costs[:, None] - means[..., None]) ** 2).sum(-1) + world.sigma**2
    runs = np.array([1 - world.share, world.share])
    keys = (weights**2).sum((-1, -2))
    return means, scatter, 1.645 * np.sqrt((scatter * runs).sum(-1) * keys)


def _contrast(block: Second) -> Contrast:
    runs, logs, ms = (part[:, :, None, :] for part in block)
    return contrast(runs, logs, ms, _ROWS)


def _of_one_row(runs: NDArray[Any], logs: Array, ms: Array) -> Second:
    return Second(*(part[..., None] * (_ROWS == 1) for part in (runs, logs, ms)))


def _batches(world: World, rng: np.random.Generator, factors: Array) -> Second:
    """Ten requests at once, seven times a second: of each variant's the first goes alone, the others go
    together."""
    found = Second(*(np.zeros((*factors.shape, len(_ROWS))) for _ in range(3)))
    candidate = rng.binomial(_AT_ONCE, world.share, (_TIMES_PER_S, len(factors)))
    for mine in candidate:
        requests = np.stack([_AT_ONCE - mine, mine], -1)
        for rows in (np.minimum(requests, 1), np.maximum(requests - 1, 0)):
            ms = (_RUN_MS + _ROW_MS * rows) * factors * rng.lognormal(0, world.sigma, rows.shape)
            at = rows[..., None] == _ROWS
            for whole, value in zip(found, (np.ones_like(ms), np.log(ms), ms), strict=True):
                whole[...] += at * value[..., None]
    return found


def _sum(blocks: list[Second]) -> Second:
    return Second(*(sum(part[1:], part[0]) for part in zip(*blocks, strict=True)))


def simulate(
    world: World, seconds: int, *, rollouts: int, seed: int, cheaper_by: float | None = None
) -> Array:
    """When "cheaper" was first shown in each rollout, in seconds; infinite: never."""
    margin = (Policy().cheaper_by or 0.0) if cheaper_by is None else cheaper_by
    simulated = Rollouts(world, np.random.default_rng(seed), rollouts, margin)
    for second in range(seconds):
        simulated.tick(second)
        if np.isfinite(simulated.shown_s).all():
            break
    return simulated.shown_s


KINDS: tuple[dict[str, Any], ...] = (
    {"rho": 0.8, "drift": 0.1},
    {"rho": 0.95, "drift": 0.1},
    {"sigma": 1.0, "runs_per_s": 20.0},
    {"sigma": 2.0, "runs_per_s": 20.0},
    {"costs": "pareto", "runs_per_s": 20.0},
    {"costs": "batches", "sigma": 0.3},
    {"costs": "batches", "sigma": 0.3, "rho": 0.95, "drift": 0.1},
    {"users": 500},
    {"users": 500, "zipf": True},
)


def find(world: World, seconds: int, rollouts: int) -> Found:
    """How often "cheaper" is shown."""
    shown_s = simulate(world, seconds, rollouts=rollouts, seed=5)
    shown = shown_s[np.isfinite(shown_s)]
    return Found(rollouts, {"shown cheaper": len(shown)}, median_said(shown, "shown"))


def cost_cells(fast: bool) -> Iterator[Cell]:
    """Fast: five minutes, and fewer of everything."""
    if fast:
        worlds = [(World(share=share, **kind), 300) for share in (0.1, 0.95) for kind in KINDS[1:]]
        worlds += [(World(share=share, ratio=1.5, **KINDS[5]), 300) for share in (0.1, 0.95)]
        worlds += [
            (World(share=share, ratio=0.7, **KINDS[at]), 300) for share in (0.1, 0.95) for at in (1, 5)
        ]
    else:
        worlds = [
            (World(share=share, ratio=ratio, **kind), 3600)
            for ratio, kind, share in product((1.0, 1.05, 1.5, 0.7), KINDS, (0.1, 0.5, 0.95))
        ]
        worlds += [(World(share=0.5, **kind), 6 * 3600) for kind in KINDS[:2] + KINDS[4:5]]
    for world, seconds in worlds:
        asked = (
            Requirement("shown cheaper", at_least=0.95)
            if world.ratio < 0.8
            else Requirement("shown cheaper", at_most=0.05)
        )
        said = ", ".join(
            f"{field.name} {value}"
            for field in fields(world)
            if (value := getattr(world, field.name)) != field.default
        )
        yield Cell(
            group="cost",
            name=f"{said}, {seconds / 3600:.2g} h",
            asked=(asked,),
            find=partial(find, world, seconds),
            runs=100 if fast else 1000,
        )
