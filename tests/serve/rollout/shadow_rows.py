"""Shadows in which rows of one request are alike, by simulation.

Each request draws the probability that its rows differ from a Beta distribution with the true share as its
mean and the given correlation between two rows of one request. One tick is one second and one look."""

import math
from collections.abc import Iterator
from functools import partial

import numpy as np

from serve.rollout.evidence.evalues import Array
from serve.rollout.judging.shadow_likeness import Pairs, above, below
from serve.rollout.state.policy import Policy, ShadowPolicy
from tests.serve.rollout.requirements import Cell, Found, Requirement
from tests.serve.rollout.simulate import GUARDS, simulate_shadow

LIMIT = 0.02
ROWS, PER_S, SECONDS = 64, 4, 600
TRUE = (0.01, 0.015, 0.02, 0.03, 0.05)
ALIKE = (0.001, 0.05, 0.2, 0.999)


def simulate_rows(true: float, alike: float, *, runs: int, seed: int = 0) -> tuple[Array, Array]:
    """Return the number of requests after which each run was rolled back, and after which it was promoted;
    infinite: it was not. The policy is the default one: five guards share the error probability, and the
    proof needs 1,000 pairs of 100 requests."""
    rng, policy = np.random.default_rng(seed), Policy(shadow=ShadowPolicy(agreement=1 - LIMIT))
    strength = (1 - alike) / alike
    likely = rng.beta(true * strength, (1 - true) * strength, (runs, SECONDS * PER_S))
    differ = rng.binomial(ROWS, likely).astype(float)

    def so_far(values: Array) -> Array:
        return np.asarray(values.reshape(runs, SECONDS, PER_S).sum(2).cumsum(1))

    requests = np.arange(1.0, SECONDS + 1) * PER_S
    seen = Pairs(
        differ=so_far(differ),
        pairs=requests * ROWS,
        differing=so_far((differ > 0).astype(float)),
        differ_squares=so_far(differ**2),
        products=so_far(differ * ROWS),
        squares=requests * ROWS**2,
    )
    harmful = above(seen, LIMIT) >= math.log(GUARDS / (1 - policy.shadow.confidence))
    enough = (requests * ROWS >= policy.shadow.minimum_pairs) & (requests >= policy.shadow.minimum_requests)
    safe = (below(seen, LIMIT) >= -math.log(1 - policy.proof)) & enough
    back, on = (np.where(shown, requests, np.inf).min(1) for shown in (harmful, safe))
    return np.where(back <= on, back, np.inf), np.where(on < back, on, np.inf)


def _found(back: Array, on: Array, what: str) -> Found:
    counts = {"rolled back": int(np.isfinite(back).sum()), "let on": int(np.isfinite(on).sum())}
    ended = np.fmin(back, on)
    said = f"{what} until then: median {np.median(ended):,.0f}" if np.isfinite(np.median(ended)) else ""
    return Found(len(back), counts, said)


def find(true: float, alike: float, runs: int) -> Found:
    """Return the results of shadows with this share and correlation."""
    return _found(*simulate_rows(true, alike, runs=runs), "requests")


def find_alone(true: float, runs: int) -> Found:
    """The same where each pair comes alone, ten a second."""
    return _found(*simulate_shadow(Policy(), true, pairs_per_s=10, runs=runs, seed=5), "pairs")


def shadow_cells(fast: bool) -> Iterator[Cell]:
    """One cell for each true share and correlation, where 2 % of the pairs may differ."""
    runs = 100 if fast else 1000
    asked = {
        "good": (Requirement("rolled back", at_most=0.01),),
        "bad": (Requirement("let on", at_most=0.05),),
    }
    for true in TRUE:
        here = asked["good"] * (true <= LIMIT) + asked["bad"] * (true >= LIMIT)
        for alike in ALIKE:
            name = f"{true:.1%} differ where {LIMIT:.0%} may, {ROWS} rows a request, correlation {alike}"
            yield Cell(group="shadow", name=name, asked=here, find=partial(find, true, alike), runs=runs)
    for true, each in (
        (0.005, Requirement("let on", at_least=0.99)),
        (0.05, Requirement("rolled back", at_least=0.99)),
    ):
        name = f"{true:.1%} differ where {LIMIT:.0%} may, one row a request"
        yield Cell(group="shadow", name=name, asked=(each,), find=partial(find_alone, true), runs=runs)
