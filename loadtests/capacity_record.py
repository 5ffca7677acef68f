"""The search for the capacity of a variant, and its result."""

from typing import Literal

from loadtests.load_verdict import CheckOutcome
from loadtests.variant_report import Interval, RequestCost
from serve.base.record import Record


class Probe(Record):
    """One rate tried in a search for capacity. `undecided` probes are INVALID."""

    variant: str
    # The stage of the search.
    stage: Literal["search", "confirm"]
    rate_per_s: float
    seed: int
    duration_s: float
    outcome: CheckOutcome
    reason: str
    requests: int
    errors: int
    # The share over the limit, with its confidence sequence.
    over_limit: Interval
    # Answers before sending ended, over arrivals.
    completed: float
    p50_ms: float | None
    p99_ms: float | None


class Capacity(Record):
    """The result of a search for one variant."""

    # The highest passed rate; None if no rate passed.
    rate_per_s: float | None
    # The lowest failed rate and why it failed; None if no rate failed.
    infeasible_per_s: float | None
    first_breach: str | None
    # cliff: just above the capacity, requests pile up; smooth: the limit is crossed gradually.
    boundary: Literal["smooth", "cliff"] | None
    # How often the rate passed again with fresh seeds, and how often it had to.
    confirmed: int
    confirmations: int
    cost: RequestCost | None = None
