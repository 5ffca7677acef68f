"""Timeline: what every variant did over the last ten minutes, from counts that only grow."""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from serve.control import Curve, Curves
from serve.rollout.tally import Histogram, Loads, Tally

_EVERY_S = 5.0
_LENGTH_S = 600.0
# A quantile rests on so many requests beyond it.
_BEYOND = 10


class Timeline:
    """The counts of all gateways, every five seconds."""

    def __init__(self) -> None:
        self._noted: deque[tuple[float, Loads]] = deque(maxlen=int(_LENGTH_S / _EVERY_S) + 1)

    def note(self, now_s: float, loads: Loads) -> None:
        """Keep the counts, unless the last ones are newer than five seconds."""
        if not self._noted or now_s - self._noted[-1][0] >= _EVERY_S:
            self._noted.append((now_s, loads))

    def curves(self, model: str) -> Curves:
        """What a model's variants did between one time and the next."""
        # Another thread may note more meanwhile.
        noted = tuple(self._noted)
        variants = sorted({name for _, loads in noted for owner, name in loads if owner == model})
        stretches = list(pairwise(noted))
        return Curves(
            at_s=tuple(after[0] for _, after in stretches),
            variants={name: _curve(stretches, (model, name)) for name in variants},
        )

    def quantile_ms(self, model: str, variant: str, q: float) -> float | None:
        """The q-quantile of a variant's latency over the whole of it; None: too few requests to tell."""
        if len(self._noted) < 2:
            return None
        _, latency = _between(self._noted[0][1], self._noted[-1][1], (model, variant))
        return latency.quantile_ms(q) if latency.count * (1 - q) >= _BEYOND else None


def _curve(
    stretches: Sequence[tuple[tuple[float, Loads], tuple[float, Loads]]], key: tuple[str, str]
) -> Curve:
    requests, errors, p50, p99 = [], [], [], []
    for (start_s, before), (end_s, after) in stretches:
        failed, latency = _between(before, after, key)
        requests.append(round(latency.count / (end_s - start_s), 3))
        errors.append(round(failed / (end_s - start_s), 3))
        p50.append(latency.quantile_ms(0.5))
        p99.append(latency.quantile_ms(0.99))
    return Curve(
        requests_per_s=tuple(requests), errors_per_s=tuple(errors), p50_ms=tuple(p50), p99_ms=tuple(p99)
    )


def _between(before: Loads, after: Loads, key: tuple[str, str]) -> tuple[int, Histogram]:
    """The errors and latencies that came in between."""
    first, last = (loads[key].tally if key in loads else Tally() for loads in (before, after))
    latency = Histogram()
    latency.buckets = [
        max(now - then, 0) for then, now in zip(first.latency.buckets, last.latency.buckets, strict=True)
    ]
    return max(last.errors - first.errors, 0), latency
