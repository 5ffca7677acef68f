"""The JSON report of a load test, from which table, markdown, page and JUnit are made.

Times count from the start of the measurement (the warm-up is below 0), rates are per second, shares run from
0 to 1, and None means that nothing was measured."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from loadtests.judging.contention import Contention
from loadtests.judging.limits import Limits
from loadtests.load_plan import LoadPlan
from serve.base.record import Record

Latency = Literal["p50", "p95", "p99", "mean"]
Kind = Literal["run", "compare", "capacity", "soak"]
Share = Annotated[float, Field(ge=0, le=1)]


class CheckOutcome(StrEnum):
    """The outcome of a check, a probe, or the whole test."""

    PASS = "PASS"  # noqa: S105 - no password
    FAIL = "FAIL"
    # For a gate: the figures cannot be trusted. For a guard: they do not suffice for a decision.
    INVALID = "INVALID"


class Check(Record):
    """One condition that was checked."""

    # For example "sender on time" or "errors of slim-int8".
    name: str
    # A gate checks whether the figures can be trusted, a guard whether the limits are kept; a caveat limits
    # the reliability of some figures and does not affect the verdict.
    kind: Literal["gate", "guard", "caveat"]
    outcome: CheckOutcome
    # The measured value and the condition in words, with numbers and units.
    seen: str
    wanted: str
    # The share of the limit that was used; at 1 the limit is reached. None if the condition has no degrees.
    used: float | None = None


class LoadVerdict(Record):
    """The verdict of all checks: INVALID before FAIL before undecided before PASS."""

    outcome: CheckOutcome
    # A sentence for each check that did not pass; empty for PASS.
    reasons: tuple[str, ...]
    # The name of the check that decided: the first that did not pass, or the closest to its limit.
    binding: str | None


class Interval(Record):
    """A value with its interval; a bound is None if there are too few samples for it."""

    value: float
    low: float | None
    high: float | None


class RequestCost(Record):
    """CPU seconds for 1,000 requests, by component."""

    # The model's own runs.
    model_s: float
    # The gateways: protocol, queues and routes.
    gateway_s: float
    # Between gateway and model: the variant's process without its runs, and Ray's own processes.
    proxy_s: float
    # The load generator, which the price excludes.
    client_s: float
    # Price of a million requests; None if the limits have no price.
    price_per_million: float | None


class VariantReport(Record):
    """The results of one variant.

    Latency is measured from the scheduled start, over right answers and over requests without an answer,
    which count with the time that they waited. A wrong answer counts only as an error."""

    requests: int
    errors: int
    # Number of requests later than the limit or never answered; None without a limit.
    over_limit: int | None
    # Share of all right answers.
    share_served: Share
    mean_ms: float | None
    # With 95 % intervals by order statistics.
    p50_ms: Interval | None
    p95_ms: Interval | None
    p99_ms: Interval | None
    # Points [quantile, ms], ten per decade of the tail (1 - quantile), as far as the samples reach.
    curve: tuple[tuple[float, float], ...]
    cost: RequestCost | None = None


class Ratio(Record):
    """A latency of the candidate relative to the baseline's, with its 99 % interval by block bootstrap."""

    figure: Latency
    value: float
    low: float
    high: float


class WeighedEvents(Record):
    """How often requests of candidate and baseline failed or were slow, by the rollout's test."""

    figure: Literal["errors", "over limit"]
    # The counts in words.
    seen: str
    # The ratio of the two rates and its interval; None: unbounded, or no events.
    value: float | None
    low: float | None
    high: float | None
    # Log evidence of harm and of safety, and the level that each must reach.
    harm: float
    harm_at: float
    safe: float
    safe_at: float


class CandidateComparison(Record):
    """A candidate compared with the baseline."""

    baseline: str
    candidate: str
    ratios: tuple[Ratio, ...]
    weighed: tuple[WeighedEvents, ...]


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


class CapacityCurve(Record):
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
    variants: Mapping[str, CapacityCurve]
    # Resident memory of the server's processes at the end of each window; empty if it does not report it.
    memory_bytes: tuple[int | None, ...] = ()


class SenderReport(Record):
    """Whether the load generator was on schedule."""

    # Delay from the scheduled to the actual time of sending; None if nothing was sent.
    lateness_p50_ms: float | None
    lateness_p99_ms: float | None
    lateness_max_ms: float | None
    cpu_s: float
    # Share of one core.
    cpu_share: float
    # The highest number of requests in flight, and how often a request had to wait for room.
    in_flight: int
    pool_full: int


class Environment(Record):
    """The machine that sent the load. The figures hold for this machine."""

    cpu: str
    cores: int
    python: str
    locust: str
    # Share of the CPU time that the machine's host gave to other guests; None if the system does not report
    # it.
    steal: Share | None
    # None if it is not known.
    contention: Contention | None = None


class LoadReport(Record):
    """The report of a load test, schema version 2."""

    schema_version: Literal[2] = 2
    kind: Kind
    # Start time in ISO 8601 with the time zone.
    started_at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")]
    # The command line that started it, to repeat it; empty if it was not started from a command line.
    command: tuple[str, ...] = ()
    environment: Environment
    # The planned load. For a capacity search, the rate is the first one tried and the duration a probe's
    # maximum.
    plan: LoadPlan
    limits: Limits
    # False if the test was ended early; the figures then cover the part that ran.
    complete: bool
    verdict: LoadVerdict
    checks: tuple[Check, ...]
    requests: int
    errors: int
    errors_by_cause: Mapping[str, int]
    variants: Mapping[str, VariantReport]
    comparisons: tuple[CandidateComparison, ...] = ()
    capacities: Mapping[str, Capacity] = {}
    probes: tuple[Probe, ...] = ()
    timeline: LoadTimeline | None
    sender: SenderReport
    # Remarks about the figures, such as why there is no cost.
    notes: tuple[str, ...] = ()
