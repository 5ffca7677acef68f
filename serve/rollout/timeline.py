"""The history of every variant: its counts over the last ten minutes, and its latencies over the last six
hours."""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from serve.counting.quantiles import History, between, steady_ms
from serve.counting.tally import Histogram, Loads, Tally
from serve.rollout.api_records import Curve, Curves

_EVERY_S = 5.0
_LENGTH_S = 600.0
# Latencies of models with little traffic are needed for longer, at a lower resolution.
_SELDOM_S = 300.0
_LONG_S = 21_600.0


class Timeline:
    """The counts of all gateways every five seconds, and their latencies every five minutes for longer."""

    def __init__(self) -> None:
        self._noted: deque[tuple[float, Loads]] = deque(maxlen=int(_LENGTH_S / _EVERY_S) + 1)
        self._seldom: deque[tuple[float, dict[tuple[str, str], Histogram]]] = deque(
            maxlen=int(_LONG_S / _SELDOM_S) + 1
        )

    def note(self, now_s: float, loads: Loads) -> None:
        """Store the counts, unless the last ones are less than five seconds old."""
        if not self._noted or now_s - self._noted[-1][0] >= _EVERY_S:
            self._noted.append((now_s, loads))
        if not self._seldom or now_s - self._seldom[-1][0] >= _SELDOM_S:
            self._seldom.append((now_s, {key: load.tally.latency for key, load in loads.items()}))

    def curves(self, model: str) -> Curves:
        """Charts of a model's variants."""
        # A copy, because another thread may add counts meanwhile.
        noted = tuple(self._noted)
        variants = sorted({name for _, loads in noted for owner, name in loads if owner == model})
        stretches = list(pairwise(noted))
        return Curves(
            at_s=tuple(after[0] for _, after in stretches),
            variants={name: _curve(stretches, (model, name)) for name in variants},
        )

    def quantile_ms(self, model: str, variant: str, q: float) -> float | None:
        """The steady q-quantile of a variant's latency in the last ten minutes; None if there were too few
        requests, or it was not steady."""
        return steady_ms(self._minutes(model, variant), q)

    def history(self, model: str, variant: str) -> History:
        """A variant's latencies: finely for the last ten minutes, coarsely for the hours before."""
        minutes = self._minutes(model, variant)
        start_s = minutes[0][0] if minutes else 0.0
        hours = ((at_s, latencies) for at_s, latencies in tuple(self._seldom) if at_s < start_s)
        empty = Histogram()
        return [*((at_s, latencies.get((model, variant), empty)) for at_s, latencies in hours), *minutes]

    def _minutes(self, model: str, variant: str) -> History:
        empty, key = Histogram(), (model, variant)
        # A copy, because another thread may add counts meanwhile.
        noted = tuple(self._noted)
        return [(at_s, loads[key].tally.latency if key in loads else empty) for at_s, loads in noted]


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
    """The errors and latencies between two readings."""
    first, last = (loads[key].tally if key in loads else Tally() for loads in (before, after))
    return max(last.errors - first.errors, 0), between(first.latency, last.latency)
