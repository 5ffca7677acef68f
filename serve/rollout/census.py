"""Census: what one gateway counts of a model while a rollout watches it, sheet by sheet."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from serve.record import Record
from serve.rollout.evidence import Comparison, Drop

# What a gateway holds at most while no keeper takes it.
_MOST_ANSWERED = 100_000
_MOST_DISAGREEMENTS = 20
MOST_SLICES = 32
_OTHER = "other"

# Milliseconds for the p50, the p95 and the p99; None: it is not known yet.
Limits = tuple[float | None, float | None, float | None]
NO_LIMITS: Limits = (None, None, None)

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
    """Requests that were chosen alike."""

    requests: int = 0
    errors: int = 0
    over_limit: int = 0
    # For the p50, the p95 and the p99: requests admitted while there was a limit, and of these those over it.
    timed_quantiles: list[int] = field(default_factory=lambda: [0, 0, 0])
    over_quantiles: list[int] = field(default_factory=lambda: [0, 0, 0])


@dataclass(kw_only=True, slots=True)
class Copies:
    """What became of the copies for one shadow."""

    pairs: Comparison = field(default_factory=Comparison)
    outputs: dict[str, Comparison] = field(default_factory=dict)
    slices: dict[str, Comparison] = field(default_factory=dict)
    # Rows, in all and by why.
    dropped: int = 0
    drops: dict[Drop, int] = field(default_factory=dict)


def add_copies(total: Copies, more: Copies) -> None:
    """Add `more` to `total`. Of slices the first are kept apart, the rest goes together."""
    if more.pairs.pairs:
        total.pairs += more.pairs
    for name, part in more.outputs.items():
        total.outputs[name] = total.outputs.get(name, Comparison()) + part
    for name, part in more.slices.items():
        known = name in total.slices or len(total.slices) < MOST_SLICES
        kept = name if known else _OTHER
        total.slices[kept] = total.slices.get(kept, Comparison()) + part
    total.dropped += more.dropped
    for why, rows in more.drops.items():
        total.drops[why] = total.drops.get(why, 0) + rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What a variant's runs came to while one set of routes was in force."""

    revision: int
    rows: int
    cpu_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """What was counted since the sheet before. One is sent until it is acknowledged, and only then the next
    is begun, so that each counts once, whoever is killed when."""

    rollout: str
    number: int
    counts: Mapping[Choice, Count]
    # Variant -> its runs.
    runs: Mapping[str, Run]
    # Of the rollout's candidate.
    copies: Copies
    disagreements: tuple[Disagreement, ...]
    # The ids of requests and how they were chosen.
    answered: tuple[tuple[str, Choice], ...]


class Census:
    """Counts for one rollout in one gateway."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._number = 0
        self._sent: Sheet | None = None
        # Variant -> rows and time of its runs when the sheet was begun, and the revision then in force.
        self._ran: Mapping[str, tuple[int, float]] = {}
        self._revision = 0
        self._clear()

    def count(self, choice: Choice, *, failed: bool, ms: float, request_id: str) -> None:
        """A request has ended."""
        count = self._counts.get(choice)
        if count is None:
            count = self._counts[choice] = Count()
        count.requests += 1
        count.errors += failed
        limit_ms = self.watch.limit_ms
        count.over_limit += limit_ms is not None and ms > limit_ms
        if self.watch.feedback and request_id:
            self._answered.append((request_id, choice))

    def sheet(self, revision: int, ran: Mapping[str, tuple[int, float]]) -> Sheet | None:
        """What is to be told now: the sheet that was not acknowledged, or a new one; None: nothing happened.

        `ran` are the rows and the CPU milliseconds of all runs so far, by variant; `revision` is that of the
        routes in force."""
        if self._sent is None and (self._counts or self._answered or self.copies != Copies()):
            self._number += 1
            self._sent = Sheet(
                rollout=self.watch.rollout,
                number=self._number,
                counts=self._counts,
                runs=self._runs_since(revision, ran),
                copies=self.copies,
                disagreements=tuple(self.disagreements),
                answered=tuple(self._answered),
            )
            self._clear()
            self._ran, self._revision = ran, revision
        return self._sent

    def acknowledge(self, number: int) -> None:
        """The sheet of this number is written down."""
        if self._sent is not None and self._sent.number <= number:
            self._sent = None

    def _runs_since(self, revision: int, ran: Mapping[str, tuple[int, float]]) -> dict[str, Run]:
        # Runs under other routes had other batches.
        if revision != self._revision:
            return {}
        return {
            variant: Run(revision=revision, rows=rows - before[0], cpu_ms=max(cpu_ms - before[1], 0.0))
            for variant, (rows, cpu_ms) in ran.items()
            if (before := self._ran.get(variant)) is not None and rows > before[0]
        }

    def _clear(self) -> None:
        self._counts: dict[Choice, Count] = {}
        self._answered: deque[tuple[str, Choice]] = deque(maxlen=_MOST_ANSWERED)
        self.copies = Copies()
        self.disagreements: deque[Disagreement] = deque(maxlen=_MOST_DISAGREEMENTS)
