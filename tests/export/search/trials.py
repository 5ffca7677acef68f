"""Results of trials that tests put together."""

from export.search.trial import Measured, TrialResult
from export.step import Quantize, Steps
from serve.bundles.figures import Estimate, Quality


def steps(percentile: float = 99.0) -> Steps:
    """Steps that differ by one number."""
    return (Quantize(step="quantize", method="static", calibrate="percentile", percentile=percentile),)


def measured(speedup: float, violation: float = -0.01, spread: float = 0.0, rows: int = 100) -> Measured:
    """Figures with this speed-up and distance to the floor; intervals reach `spread` to both sides."""
    return Measured(
        rows=rows,
        quality=Quality(task="classification", rows=rows),
        speedup=Estimate(value=speedup, low=speedup - spread, high=speedup + spread),
        rejected=None if violation <= 0 else "below the floor",
        violation=violation,
        sure_violation=violation - 2 * spread,
    )


def result(speedup: float, violation: float = -0.01, percentile: float = 99.0) -> TrialResult:
    """A trial that was measured on all rows."""
    return TrialResult(outcome="measured", steps=steps(percentile), measured=measured(speedup, violation))
