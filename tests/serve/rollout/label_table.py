"""Labels of requests that both variants answered, by simulation.

    python -m tests.serve.rollout.label_table

Ten classes are equally frequent, and the judge looks every 20 labels. The baseline is wrong in 5 %; in the
part `alike` of these, both variants are."""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from serve.rollout.evidence.evalues import Array
from serve.rollout.judging.mcnemar import matched_harm
from serve.rollout.state.policy import AccuracyGuard

CLASSES, EVERY, WRONG = 10, 20, 0.05
# The number of guards with a shadow and accuracy; the latency guards count as one.
GUARDS = 6


@dataclass(frozen=True, kw_only=True)
class Truth:
    """About the candidate; shares of the inputs, 0 to 1."""

    alike: float = 0.5
    # The candidate is wrong on this many more inputs than the baseline: in one class, and in the others.
    bad_class: float = 0.0
    others: float = 0.0


def simulate_labels(truth: Truth, *, runs: int, labels: int, seed: int = 0) -> Array:
    """Return the number of labels after which each run was rolled back; infinite: it was not."""
    rng, guard = np.random.default_rng(seed), AccuracyGuard()
    line = math.log(GUARDS / (1 - guard.confidence))
    back = np.full(runs, np.inf)
    for run in range(runs):
        label = rng.integers(CLASSES, size=labels)
        hard = rng.random(labels) < WRONG * truth.alike
        alone = WRONG * (1 - truth.alike) / (1 - WRONG * truth.alike)
        baseline = hard | (rng.random(labels) < alone)
        candidate = hard | (rng.random(labels) < alone)
        candidate |= rng.random(labels) < np.where(label == 0, truth.bad_class, truth.others)
        each = np.array(
            [np.ones(labels, bool), ~baseline & candidate, baseline & ~candidate, baseline & candidate]
        )
        by_class = np.where(label == np.arange(CLASSES)[:, None, None], each, False)
        so_far = by_class.reshape(CLASSES, 4, -1, EVERY).sum(-1).cumsum(-1).transpose(2, 0, 1).astype(float)
        overall, shared = matched_harm(guard, so_far.sum(1), so_far, CLASSES)
        harm = logsumexp(np.array([overall, shared.max(-1)]), axis=0) - math.log(2)
        if (harm >= line).any():
            back[run] = (int(np.argmax(harm >= line)) + 1) * EVERY
    return back


def table(runs: int) -> Iterator[str]:
    """One line for each kind of candidate."""
    lines = {
        "equal, wrong on other inputs": Truth(alike=0.0),
        "equal, half of what is wrong is alike": Truth(alike=0.5),
        "wrong in 30 % of one class of ten": Truth(bad_class=0.3),
        "wrong in 10 % of one class of ten": Truth(bad_class=0.1),
        "wrong in 2 % more": Truth(bad_class=0.02, others=0.02),
    }
    for name, truth in lines.items():
        back = simulate_labels(truth, runs=runs, labels=20_000)
        median = f"{np.median(back):,.0f}" if np.isfinite(np.median(back)) else "-"
        yield f"{name}: rolled back {np.isfinite(back).mean():.1%}, median after {median} labels"


if __name__ == "__main__":
    for line in table(int(sys.argv[1]) if len(sys.argv) > 1 else 1000):
        print(line, flush=True)
