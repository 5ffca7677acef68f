"""What a gateway has counted for a rollout since its last report to the keeper."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from serve.base.record import Record
from serve.counting.run_costs import Sizes
from serve.counting.shadow_results import ShadowResults

# The revision number for counts from before the rollout.
BEFORE = 0
# How a request was routed: the revision of the routes, whether a sticky key decided, and the variant.
Choice = tuple[int, bool, str]


class Disagreement(Record):
    """A pair of answers that differ, in short form."""

    at_s: float
    request_id: str
    # The value of the request's header x-counterweight-slice.
    slice: str | None
    output: str
    # Such as `7 (0.61)`, `cosine 0.83` or `ModelFailed: ...`.
    baseline: str
    candidate: str


@dataclass(kw_only=True, slots=True)
class Count:
    """Counts of requests with the same routing. A request counts when it is admitted; its outcome counts when
    it ends, possibly in a later delta."""

    requests: int = 0
    errors: int = 0
    # Answered too late, or never answered because the client disconnected.
    over_limit: int = 0
    # For p50, p95 and p99: requests admitted while there was a limit, and the ones among them over it.
    timed_quantiles: list[int] = field(default_factory=lambda: [0, 0, 0])
    over_quantiles: list[int] = field(default_factory=lambda: [0, 0, 0])
    # The same for requests with a sticky key, by bucket (see `serve.base.routing.bucket_of`).
    keys: "dict[int, Count]" = field(default_factory=lambda: defaultdict(Count))

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers that a ledger stores. Counts by quantile are lost with a gateway, for both variants."""
        return self.requests, self.errors, self.over_limit

    @classmethod
    def of(cls, numbers: Sequence[int]) -> "Count":
        """Create a count from the numbers of a ledger."""
        requests, errors, over_limit = numbers
        return cls(requests=requests, errors=errors, over_limit=over_limit)


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantRun:
    """The runs of a variant while one revision of the routes was in force."""

    revision: int
    rows: int
    cpu_ms: float
    # The same by size of run; empty: not known.
    sizes: Sizes = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class CountDelta:
    """The counts since the previous delta. A delta is sent until it is acknowledged, and only then the next
    one is sent, so that each request counts once even if a process is killed."""

    rollout: str
    number: int
    counts: Mapping[Choice, Count]
    # Variant -> its runs.
    runs: Mapping[str, VariantRun]
    # For the candidate of the rollout.
    copies: ShadowResults
    disagreements: tuple[Disagreement, ...]
    # Request ids and how the requests were routed.
    answered: tuple[tuple[str, Choice], ...]
    # Request id -> top class of its answer, if the answer is a single class.
    tops: Mapping[str, int] = field(default_factory=dict)
    # The variants that were running in the gateway's process when it died.
    died: tuple[str, ...] = ()
