"""Samples: what gateways and the meter report to a keeper."""

import math
from functools import cache

from serve.counting.count_delta import Disagreement
from serve.counting.tally import Histogram, Tally, VariantLoad
from serve.counting.usage import PartUsage, ProcessRole, Usage
from serve.rollout.timeline import Timeline
from tests.serve.model_keeper import NOW_S

# The usage of a gateway, and of a variant that is placed apart.
USAGE = Usage(
    read_s=NOW_S,
    parts=(
        PartUsage(part=ProcessRole("gateway"), cpu_s=12.5, resident_bytes=2**27),
        PartUsage(part=ProcessRole("variant", "linear", "base"), cpu_s=4.25, resident_bytes=2**26),
    ),
)
_EVERY_S = 5


@cache
def timeline(model: str, baseline: str, candidate: str) -> Timeline:
    """Return the last ten minutes; the candidate gets its first requests in the sixth minute."""
    counted = Timeline()
    tallies = {baseline: Tally(), candidate: Tally()}
    for point in range(121):
        swing = 1 + 0.1 * math.sin(point / 5)
        _count(tallies[baseline], round(_EVERY_S * (20 - 5 * (point > 60)) * swing), 6.1 * swing, point)
        _count(tallies[candidate], round(_EVERY_S * 5 * (point > 60) * swing), 3.2 * swing, point)
        loads = {
            (model, name): VariantLoad(tally=_copy(tally), in_flight=0, waiting_rows=0)
            for name, tally in tallies.items()
        }
        counted.note(NOW_S - _EVERY_S * (120 - point), loads)
    return counted


def _count(tally: Tally, requests: int, p50_ms: float, point: int) -> None:
    """Add the requests of one interval. One of fifty is slow, and every 17th interval has an error."""
    for number in range(requests):
        tally.latency.record(p50_ms * (1 if number % 50 else 2.5))
    tally.requests += requests
    tally.failures["ModelFailed"] += bool(requests) and point % 17 == 0


def _copy(tally: Tally) -> Tally:
    copy = Tally() + tally
    copy.latency = Histogram() + tally.latency
    return copy


def disagreements(count: int) -> tuple[Disagreement, ...]:
    """Return differing pairs, newest first."""
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
        for place in range(count)
    )
