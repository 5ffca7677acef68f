"""Samples and measurements that tests construct."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtests.sending.measurement import Measurement
from loadtests.sending.samples import NONE, UNANSWERED, Samples

_WORDS = ("fp32", "int8", "refused", "reset", UNANSWERED)


def make_samples(
    latency_ms: Sequence[float] | NDArray[np.float64],
    *,
    at_s: Sequence[float] | NDArray[np.float64] | None = None,
    late_ms: float = 0,
    error: str | None = None,
    **variants: str | None,
) -> Samples:
    """Return a request per latency, counted from its intended start, in the first second or at `at_s`.
    `variant` answered, unless there is an error, and `pinned` was requested."""
    latency_s = np.asarray(latency_ms, float) / 1000
    n = len(latency_s)
    intended_s = np.arange(n) / max(1, n) if at_s is None else np.asarray(at_s, float)
    return Samples(
        intended_s=intended_s,
        sent_s=intended_s + late_ms / 1000,
        done_s=intended_s + latency_s,
        pinned=_numbers(variants.get("pinned"), n),
        variant=_numbers(None if error else variants.get("variant", "fp32"), n),
        error=_numbers(error, n),
        status=np.full(n, 0 if error else 200),
        words=_WORDS,
    )


def make_failed(n: int, error: str = "refused", **changes: Any) -> Samples:
    """Requests that ended with an error after 1 ms."""
    return make_samples(np.ones(n), error=error, **changes)


def make_unanswered(waited_ms: Sequence[float] | NDArray[np.float64], **changes: Any) -> Samples:
    """Requests that were waited for in vain."""
    return make_samples(waited_ms, error=UNANSWERED, **changes)


def join(*parts: Samples) -> Samples:
    """Join samples in the order of time."""
    names = ("intended_s", "sent_s", "done_s", "pinned", "variant", "error", "status")
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    order = np.argsort(columns["intended_s"], kind="stable")
    return Samples(**{name: column[order] for name, column in columns.items()}, words=_WORDS)


def make_measurement(samples: Samples, **changes: Any) -> Measurement:
    """A run that sent until one second, with 10 % of a core."""
    fields: dict[str, Any] = {
        "started_at": "2026-11-22T18:30:00+00:00",
        "complete": True,
        "sent_until_s": 1.0,
        "wall_s": 1.0,
        "cpu_s": 0.1,
        "pool_full": 0,
        "steal": 0.0,
    }
    return Measurement(samples=samples, **(fields | changes))


def _numbers(word: str | None, n: int) -> NDArray[np.int64]:
    return np.full(n, NONE if word is None else _WORDS.index(word))
