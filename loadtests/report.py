"""The JSON report of a load test, from which table, markdown, page and JUnit are made.

Times count from the start of the measurement (the warm-up is below 0), rates are per second, shares run from
0 to 1, and None means that nothing was measured."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from loadtests.candidate_comparison import CandidateComparison
from loadtests.capacity_record import Capacity, Probe
from loadtests.judging.contention import Contention
from loadtests.judging.limits import Limits
from loadtests.load_plan import LoadPlan
from loadtests.load_timeline import LoadTimeline
from loadtests.load_verdict import Check, LoadVerdict
from loadtests.variant_report import Share, VariantReport
from serve.base.record import Record

Kind = Literal["run", "compare", "capacity", "soak"]


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
