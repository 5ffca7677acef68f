"""Census: what one gateway counts of a model while a rollout watches it, sheet by sheet."""

import math
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from serve.base.record import Record
from serve.base.routing import Routes
from serve.counting.breaker import Breaker
from serve.counting.copies import Copies
from serve.counting.ledger import Ledger
from serve.counting.quantiles import NO_LIMITS, Limits
from serve.counting.runs import Sizes, subtract_sizes

# What a gateway holds at most while no keeper takes it.
_MOST_ANSWERED = 100_000
_MOST_DISAGREEMENTS = 20

# In the place of a revision: what keys did at the baseline before the rollout.
BEFORE = 0
# The routes' revision by which a request was chosen, whether by a sticky key, and the variant that was.
Choice = tuple[int, bool, str]


class Disagreement(Record):
    """A pair of answers that differ, in short words."""

    at_s: float
    request_id: str
    # What the request's header x-counterweight-slice says.
    slice: str | None
    output: str
    # Such as `7 (0.61)`, `cosine 0.83` or `ModelFailed: ...`.
    baseline: str
    candidate: str


class Watch(Record):
    """What a gateway is to count for a rollout."""

    rollout: str
    baseline: str
    candidate: str
    # Slower requests are over the limit; None: it is not known yet.
    limit_ms: float | None
    # The same for both variants' quantiles, from the baseline's of the last minutes. They change by the
    # minute; those count for a request that were in force when it was admitted.
    quantile_limits_ms: Limits = NO_LIMITS
    # Whether the ids of answered requests are to be told.
    feedback: bool


@dataclass(kw_only=True, slots=True)
class Count:
    """Requests that were chosen alike. They count when they are admitted, and what became of them when they
    end, which may be on a later sheet."""

    requests: int = 0
    errors: int = 0
    # Answered too late, or never: the client left before.
    over_limit: int = 0
    # For the p50, the p95 and the p99: requests admitted while there was a limit, and of these those over it.
    timed_quantiles: list[int] = field(default_factory=lambda: [0, 0, 0])
    over_quantiles: list[int] = field(default_factory=lambda: [0, 0, 0])
    # The same for those that were chosen by a key, by the key's bucket (see `serve.base.routing.bucket_of`).
    keys: "dict[int, Count]" = field(default_factory=lambda: defaultdict(Count))

    @property
    def numbers(self) -> tuple[int, ...]:
        """As a ledger keeps it. Counts by quantile may be lost with a gateway: it loses both variants'."""
        return self.requests, self.errors, self.over_limit

    @classmethod
    def of(cls, numbers: Sequence[int]) -> "Count":
        """What has these numbers."""
        requests, errors, over_limit = numbers
        return cls(requests=requests, errors=errors, over_limit=over_limit)


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantRun:
    """What a variant's runs came to while one set of routes was in force."""

    revision: int
    rows: int
    cpu_ms: float
    # The same by the size of a run; empty: it is not known.
    sizes: Sizes = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """What was counted since the sheet before. One is sent until it is acknowledged, and only then the next
    is begun, so that each counts once, whoever is killed when."""

    rollout: str
    number: int
    counts: Mapping[Choice, Count]
    # Variant -> its runs.
    runs: Mapping[str, VariantRun]
    # Of the rollout's candidate.
    copies: Copies
    disagreements: tuple[Disagreement, ...]
    # The ids of requests and how they were chosen.
    answered: tuple[tuple[str, Choice], ...]
    # The id of a request -> the class on top of its answer, where it says one class.
    tops: Mapping[str, int] = field(default_factory=dict)
    # The variants that ran in the gateway's own process when it died.
    died: tuple[str, ...] = ()


class Admitted(NamedTuple):
    """What is to be known of a request when it ends."""

    choice: Choice
    bucket: int | None
    # Those in force when it was admitted: what it is held against is known before how long it takes.
    quantile_limits_ms: Limits


class Census:
    """Counts for one rollout in one gateway."""

    def __init__(self, watch: Watch, ledger: Ledger | None = None) -> None:
        """What is counted stands in `ledger`, too, until it is acknowledged."""
        self.watch = watch
        self.breaker = Breaker()
        self._ledger = ledger
        self._number = 0
        self._sent: Sheet | None = None
        # Variant -> rows and time of its runs when the sheet was begun, and the revision then in force.
        self._ran: Mapping[str, tuple[int, float]] = {}
        self._sizes: Mapping[str, Sizes] = {}
        self._revision = 0
        self._clear()

    def protected(self, routes: Routes) -> Routes:
        """The routes, without the candidate once its breaker has opened."""
        return routes if self.breaker.trip is None else routes.without(self.watch.candidate)

    def recall(self, past: Count) -> None:
        """With the first sheet goes what keys did before; it stands in no ledger, for it proves nothing."""
        if past.keys:
            self._counts[BEFORE, True, self.watch.baseline] = past

    def count(
        self, choice: Choice, *, failed: bool, ms: float, request_id: str, bucket: int | None = None
    ) -> None:
        """A request has been admitted and has ended."""
        self.end(self.admit(choice, bucket), failed=failed, ms=ms, request_id=request_id)

    def admit(self, choice: Choice, bucket: int | None) -> Admitted:
        """A request has been admitted; `bucket` is that of its key, if it has one. Whatever becomes of it, it
        was asked of the variant that was chosen."""
        limits_ms = self.watch.quantile_limits_ms
        counts = self._counted(choice, bucket)
        for count in counts:
            count.requests += 1
            for place, limit_ms in enumerate(limits_ms):
                count.timed_quantiles[place] += limit_ms is not None
        if self._ledger is not None:
            self._ledger.begin(choice, bucket, [count.numbers for count in counts])
        return Admitted(choice, bucket, limits_ms)

    def end(self, admitted: Admitted, *, failed: bool, ms: float, request_id: str) -> None:
        """A request that was admitted has ended after so many `ms`; infinity: its client left before the
        answer was there, so it is over the limit, known or not."""
        limit_ms = self.watch.limit_ms
        over = ms == math.inf or (limit_ms is not None and ms > limit_ms)
        beyond = [limit_ms is not None and ms > limit_ms for limit_ms in admitted.quantile_limits_ms]
        choice, bucket, _ = admitted
        counts = self._counted(choice, bucket) if failed or over or any(beyond) else ()
        for count in counts:
            count.errors += failed
            count.over_limit += over
            for place, yes in enumerate(beyond):
                count.over_quantiles[place] += yes
        if self._ledger is not None:
            self._ledger.end(choice, bucket, [count.numbers for count in counts])
        if self.watch.feedback and request_id:
            self._answered.append((request_id, choice))

    def _counted(self, choice: Choice, bucket: int | None) -> tuple[Count, ...]:
        count = self._counts[choice]
        return (count,) if bucket is None else (count, count.keys[bucket])

    def sheet(
        self, revision: int, ran: Mapping[str, tuple[int, float]], sizes: Mapping[str, Sizes] | None = None
    ) -> Sheet | None:
        """What is to be told now: the sheet that was not acknowledged, or a new one; None: nothing happened.

        `ran` are the rows and the CPU milliseconds of all runs so far, by variant, and `sizes` the same by
        size of run; `revision` is that of the routes in force."""
        if self._sent is None and (self._counts or self._answered or self.copies != Copies()):
            self._number += 1
            self._sent = Sheet(
                rollout=self.watch.rollout,
                number=self._number,
                counts=self._counts,
                runs=self._runs_since(revision, ran, sizes or {}),
                copies=self.copies,
                disagreements=tuple(self.disagreements),
                answered=tuple(self._answered),
                tops=dict(self.tops),
            )
            self._clear()
            self._ran, self._sizes, self._revision = ran, sizes or {}, revision
            if self._ledger is not None:
                self._ledger.turn(self._number)
        return self._sent

    def acknowledge(self, number: int) -> None:
        """The sheet of this number is written down."""
        if self._sent is not None and self._sent.number <= number:
            if self._ledger is not None:
                self._ledger.acknowledge(self._sent.number)
            self._sent = None

    def close(self) -> None:
        """The rollout is over: nobody will ask for what was counted."""
        if self._ledger is not None:
            self._ledger.close()

    def _runs_since(
        self, revision: int, ran: Mapping[str, tuple[int, float]], sizes: Mapping[str, Sizes]
    ) -> dict[str, VariantRun]:
        # Runs under other routes had other batches.
        if revision != self._revision:
            return {}
        return {
            variant: VariantRun(
                revision=revision,
                rows=rows - before[0],
                cpu_ms=max(cpu_ms - before[1], 0.0),
                sizes=subtract_sizes(sizes.get(variant, {}), self._sizes.get(variant, {})),
            )
            for variant, (rows, cpu_ms) in ran.items()
            if (before := self._ran.get(variant)) is not None and rows > before[0]
        }

    def _clear(self) -> None:
        self._counts: defaultdict[Choice, Count] = defaultdict(Count)
        self._answered: deque[tuple[str, Choice]] = deque(maxlen=_MOST_ANSWERED)
        # The ids of requests and the classes on top of their answers.
        self.tops: deque[tuple[str, int]] = deque(maxlen=_MOST_ANSWERED)
        self.copies = Copies()
        self.disagreements: deque[Disagreement] = deque(maxlen=_MOST_DISAGREEMENTS)
