"""A load test over time, in windows."""

from collections.abc import Mapping

from serve.base.record import Record


class VariantTimeline(Record):
    """One variant in each window; None where it had no requests."""

    requests: tuple[int, ...]
    errors: tuple[int, ...]
    p50_ms: tuple[float | None, ...]
    p99_ms: tuple[float | None, ...]


class LoadTimeline(Record):
    """What happened over time."""

    # Ends of the windows in s.
    at_s: tuple[float, ...]
    # The highest number of unanswered requests in each window.
    in_flight: tuple[int, ...]
    variants: Mapping[str, VariantTimeline]
    # Resident memory of the server's processes at the end of each window; empty if it does not report it.
    memory_bytes: tuple[int | None, ...] = ()
