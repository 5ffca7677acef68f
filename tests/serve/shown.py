"""What a Desk shows, and nobody did."""

import math
from collections.abc import Sequence

from serve.bundles.bundle import sha256
from serve.counting.census import Disagreement
from serve.counting.usage import Part, PartUsage, Usage
from serve.rollout.records import Curve
from serve.rollout.trail.qualification import Outcome, Qualification, Stage
from tests.serve.story import NOW_S

# Of a gateway, and of a variant that is placed apart.
USAGE = Usage(
    read_s=NOW_S,
    parts=(
        PartUsage(part=Part("gateway"), cpu_s=12.5, resident_bytes=2**27),
        PartUsage(part=Part("variant", "linear", "base"), cpu_s=4.25, resident_bytes=2**26),
    ),
)
# Of the versions that a Desk serves.
NOT_QUALIFIED = Qualification(
    candidate="light",
    baseline="base",
    digests={variant: sha256(variant.encode()) for variant in ("base", "light")},
    outcome=Outcome.NOT_QUALIFIED,
    reasons=("capacity: 3/s of 4/s",),
    stages=(Stage(name="capacity", outcome="FAIL"),),
)


def curve(requests_per_s: Sequence[float], p50_ms: float) -> Curve:
    """One variant's, which swings a little; every 17th stretch has errors."""
    swing = [1 + 0.1 * math.sin(point / 5) for point in range(len(requests_per_s))]
    busy = [(rate * each, each) for rate, each in zip(requests_per_s, swing, strict=True)]
    return Curve(
        requests_per_s=tuple(rate for rate, _ in busy),
        errors_per_s=tuple(0.2 * (rate > 0 and place % 17 == 0) for place, (rate, _) in enumerate(busy)),
        p50_ms=tuple(p50_ms * each if rate else None for rate, each in busy),
        p99_ms=tuple(2.5 * p50_ms * each if rate else None for rate, each in busy),
    )


def disagreements(count: int) -> tuple[Disagreement, ...]:
    """The last of so many, at most 20."""
    return tuple(
        Disagreement(
            at_s=NOW_S - 550 - 7 * place,
            request_id=f"{place:02x}af61c4d2",
            slice=("eu", "us", None)[place % 3],
            output="y",
            baseline=f"{place % 10} (0.{61 - place % 9})",
            candidate=f"{(3 * place + 7) % 10} (0.{55 - place % 9})"
            if place % 5
            else "ModelFailed: it broke",
        )
        for place in range(min(count, 20))
    )
