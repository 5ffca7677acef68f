"""Report: the one JSON of a load test. Table, markdown, page and JUnit are made from it and nothing else.

Moments count from the start of what was measured (the warm-up lies below 0), rates are per second, shares run
from 0 to 1, and None means that nothing was measured.
"""

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
    """What became of a check, of a probe, or of the whole test."""

    PASS = "PASS"  # noqa: S105 - no password
    FAIL = "FAIL"
    # Of a gate: the figures cannot be trusted. Of a guard: they do not decide it.
    INVALID = "INVALID"


class Check(Record):
    """One thing that had to hold."""

    # Such as "sender on time", or "errors of slim-int8".
    name: str
    # May the figures be trusted; are they good; a caveat takes trust from some, and decides nothing.
    kind: Literal["gate", "guard", "caveat"]
    outcome: CheckOutcome
    # What was measured and what was wanted, in words, with figures and units.
    seen: str
    wanted: str
    # How much of what is allowed was used: at 1 the limit is reached. None: it is no matter of degree.
    used: float | None = None


class LoadVerdict(Record):
    """What the checks come to: INVALID before FAIL before undecided before PASS."""

    outcome: CheckOutcome
    # Every check that did not pass, in words; of PASS none.
    reasons: tuple[str, ...]
    # The name of the check that decided: the first that did not pass, or the one that came closest to not
    # passing.
    binding: str | None


class Interval(Record):
    """A figure with its interval; None: too few samples for that bound."""

    value: float
    low: float | None
    high: float | None


class RequestCost(Record):
    """CPU seconds for 1,000 requests, by where they were spent."""

    # The model's own runs.
    model_s: float
    # The gateways: the protocol, the queue, the routes.
    gateway_s: float
    # What stands between gateway and model: the variant's process around its runs, and Ray's own processes.
    proxy_s: float
    # The load generator, which the price leaves out.
    client_s: float
    # Money for a million requests, at the limits' price; None: they name none.
    price_per_million: float | None


class VariantReport(Record):
    """One variant. Latency counts from the intended start, over right answers and over what was never
    answered, which counts with the time that it had waited; a wrong answer counts as an error alone."""

    requests: int
    errors: int
    # Later than the limit, or never answered; None: no limit was asked.
    over_limit: int | None
    # Share of all rightly answered requests.
    share_served: Share
    mean_ms: float | None
    # With 95 % intervals by order statistics.
    p50_ms: Interval | None
    p95_ms: Interval | None
    p99_ms: Interval | None
    # [quantile, ms], ten to a decade of the tail (1 - quantile), as far as the samples reach.
    curve: tuple[tuple[float, float], ...]
    cost: RequestCost | None = None


class Ratio(Record):
    """A latency of the candidate over the baseline's, with its 99 % interval by block bootstrap."""

    figure: Latency
    value: float
    low: float
    high: float


class WeighedEvents(Record):
    """How often something bad happened to the candidate against the baseline, by the test of the rollout."""

    figure: Literal["errors", "over limit"]
    # In words.
    seen: str
    # The ratio of the two rates and its interval; None: unbounded, or nothing happened.
    value: float | None
    low: float | None
    high: float | None
    # Log evidence of harm and of safety, and what each must reach.
    harm: float
    harm_at: float
    safe: float
    safe_at: float


class CandidateComparison(Record):
    """A candidate beside the baseline."""

    baseline: str
    candidate: str
    ratios: tuple[Ratio, ...]
    weighed: tuple[WeighedEvents, ...]


class Probe(Record):
    """One rate that was tried in a search for capacity. `undecided` probes are INVALID."""

    variant: str
    # What it was for.
    stage: Literal["search", "confirm"]
    rate_per_s: float
    seed: int
    duration_s: float
    outcome: CheckOutcome
    reason: str
    requests: int
    errors: int
    # The share that was over the limit, and its confidence sequence.
    over_limit: Interval
    # Answers that came while it was sent, over arrivals.
    completed: float
    p50_ms: float | None
    p99_ms: float | None


class Capacity(Record):
    """What a search found for one variant."""

    # The highest rate that passed; None: none did.
    rate_per_s: float | None
    # The lowest rate that did not pass, and why; None: none was found.
    infeasible_per_s: float | None
    first_breach: str | None
    # cliff: just above, answers pile up; smooth: the limit is crossed little by little.
    boundary: Literal["smooth", "cliff"] | None
    # How often it passed again with fresh seeds, and how often it had to.
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
    """What happened when."""

    # The ends of the windows in s.
    at_s: tuple[float, ...]
    # The most requests that were unanswered at once in each.
    in_flight: tuple[int, ...]
    variants: Mapping[str, CapacityCurve]
    # Resident memory of the server's processes at the end of each window; empty: it does not tell.
    memory_bytes: tuple[int | None, ...] = ()


class SenderReport(Record):
    """Whether the load generator kept its own promise."""

    # From the intended moment to the moment of sending; None: nothing was sent.
    lateness_p50_ms: float | None
    lateness_p99_ms: float | None
    lateness_max_ms: float | None
    cpu_s: float
    # Of one core.
    cpu_share: float
    # The most requests in flight, and how often the next had to wait because there was no room for more.
    in_flight: int
    pool_full: int


class Environment(Record):
    """Where the load came from. What it measured holds there."""

    cpu: str
    cores: int
    python: str
    locust: str
    # Share of the machine's CPU time that its host gave to others meanwhile; None: it does not tell.
    steal: Share | None
    # None: it is not known.
    contention: Contention | None = None


class LoadReport(Record):
    """What a load test measured, schema version 2."""

    schema_version: Literal[2] = 2
    kind: Kind
    # When it began, in ISO 8601 with the time zone.
    started_at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")]
    # The words of the command line that started it, to run it again; empty: no command line did.
    command: tuple[str, ...] = ()
    environment: Environment
    # What was asked; of a search for capacity the rate is where it began, and the duration a probe's longest.
    plan: LoadPlan
    limits: Limits
    # False: it was ended early, and the figures are of the part that ran.
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
    # What is to be known beside the figures, such as why there is no cost.
    notes: tuple[str, ...] = ()
