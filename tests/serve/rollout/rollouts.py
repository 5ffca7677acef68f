"""Rollouts and evidence for tests."""

from serve.rollout.evidence.evidence import Comparison, Cost, Events, Evidence, Moments, Pair, Segment
from serve.rollout.state.policy import Policy
from serve.rollout.state.rollout import Phase, Rollout, RolloutPlan, start

SHARES = (0.01, 0.05, 0.25, 0.5, 0.95)


def begun(policy: Policy | None = None) -> Rollout:
    """A rollout of digits at 0 s."""
    plan = RolloutPlan(model="digits", baseline="fp32", candidate="int8", policy=policy or Policy())
    return start("r1", plan, 10.0, "ann", 0.0)


def at_step(step: int, policy: Policy | None = None) -> Rollout:
    """The same, in a step that it entered at 0 s."""
    return begun(policy).model_copy(update={"phase": Phase.STEP if step else Phase.SHADOW, "step": step})


def segment(step: int, requests: int, *, errors: tuple[int, int] = (0, 0), cost: float = 0.5) -> Segment:
    """A minute in one of the default steps: errors one a tick, no slow request, candidate runs at `cost`."""
    share = SHARES[step - 1]
    mine = round(requests * share)
    baseline, candidate = errors
    return Segment(
        step=step,
        split=share,
        started_s=0.0,
        ended_s=60.0,
        requests=Pair(baseline=requests - mine, candidate=mine),
        errors=Events(
            baseline=baseline,
            candidate=candidate,
            candidate_ticks=candidate,
            candidate_squares=candidate,
            products=candidate,
            squares=baseline + candidate,
        ),
        baseline_cost=costs(60, 10.0),
        candidate_cost=costs(60, 10.0 * cost),
    )


def costs(ticks: int, cpu_ms: float) -> Cost:
    """Ticks with ten rows each, which take now a little more and now a little less than `cpu_ms`."""
    return sum((Cost.tick(10, cpu_ms * (0.9 if tick % 2 else 1.1)) for tick in range(ticks)), Cost())


def shadowed(pairs: int, disagreements: int, cosine: float = 0.999) -> Comparison:
    """Return a comparison whose cosines have the mean `cosine` and a spread of a hundredth of 1 -
    `cosine`."""
    spread = (1 - cosine) / 100
    return Comparison(
        pairs=pairs,
        disagreements=disagreements,
        cosine=Moments(count=pairs, total=pairs * cosine, squares=pairs * (cosine**2 + spread**2)),
    )


def proven() -> Evidence:
    """Enough at every step for the next one."""
    segments = tuple(segment(step, 10_000, errors=(10, 0)) for step in range(1, 6))
    return Evidence(segments=segments, shadow=shadowed(2000, 2))
