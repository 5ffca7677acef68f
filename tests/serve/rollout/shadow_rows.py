"""Shadows whose requests have rows that are alike: what is made of them, by simulation.

    python -m tests.serve.rollout.shadow_rows

Each request draws how likely its rows are to differ from a Beta law with the true share as its mean and with
the given correlation between two rows of one request. One tick is one second and one look."""

import math
import sys
from collections.abc import Iterator

import numpy as np

from serve.rollout.likeness import Pairs, above, below
from serve.rollout.policy import Policy, Shadow
from serve.rollout.sequential import Array

LIMIT = 0.02
ROWS, PER_S, SECONDS = 64, 4, 600
TRUE = (0.01, 0.015, 0.02, 0.03, 0.05)
ALIKE = (0.001, 0.05, 0.2, 0.999)


def simulate_rows(true: float, alike: float, *, runs: int, seed: int = 0) -> tuple[Array, Array]:
    """After how many requests each run was rolled back, and let on; infinite: it was not. The policy is the
    default one: four guards share the odds, and the proof asks for 1,000 pairs of 100 requests."""
    rng, policy = np.random.default_rng(seed), Policy(shadow=Shadow(agreement=1 - LIMIT))
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
    harmful = above(seen, LIMIT) >= math.log(4 / (1 - policy.shadow.confidence))
    enough = (requests * ROWS >= policy.shadow.minimum_pairs) & (requests >= policy.shadow.minimum_requests)
    safe = (below(seen, LIMIT) >= -math.log(1 - policy.proof)) & enough
    back, on = (np.where(shown, requests, np.inf).min(1) for shown in (harmful, safe))
    return np.where(back <= on, back, np.inf), np.where(on < back, on, np.inf)


def table(runs: int) -> Iterator[str]:
    """One line for each true share and correlation, where 2 % of the pairs may differ."""
    for true in TRUE:
        for alike in ALIKE:
            back, on = simulate_rows(true, alike, runs=runs)
            ended = np.fmin(back, on)
            median = f"median {np.median(ended):,.0f}" if np.isfinite(np.median(ended)) else "most never"
            yield (
                f"{ROWS} rows a request, correlation {alike:5.3f}, {true:.1%} differ where {LIMIT:.0%} may: "
                f"rolled back {np.isfinite(back).mean():6.1%}, let on {np.isfinite(on).mean():6.1%}; "
                f"requests until then: {median}"
            )


if __name__ == "__main__":
    for line in table(int(sys.argv[1]) if len(sys.argv) > 1 else 1000):
        print(line, flush=True)
