"""Counts the requests of a rollout in one gateway, in numbered deltas."""

import math
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import NamedTuple

from serve.base.record import Record
from serve.base.routing import Routes
from serve.counting.breaker import Breaker
from serve.counting.count_delta import BEFORE, Choice, Count, CountDelta, Disagreement, VariantRun
from serve.counting.ledger import Ledger
from serve.counting.quantiles import NO_LIMITS, Limits
from serve.counting.run_costs import Sizes, subtract_sizes
from serve.counting.shadow_results import ShadowResults

# The most answers that a gateway keeps while no keeper takes them.
_MOST_ANSWERED = 100_000
_MOST_DISAGREEMENTS = 20


class Watch(Record):
    """What a gateway counts for a rollout."""

    rollout: str
    baseline: str
    candidate: str
    # Requests that take longer are over the limit; None: not known yet.
    limit_ms: float | None
    # The limits for both variants' quantiles, from the baseline's last minutes. They change every minute; a
    # request is compared with the limits that were in force when it was admitted.
    quantile_limits_ms: Limits = NO_LIMITS
    # Whether the gateway reports the ids of answered requests.
    feedback: bool


class Admitted(NamedTuple):
    """The data that is needed when an admitted request ends."""

    choice: Choice
    bucket: int | None
    # The limits at admission, so that they cannot depend on the latency of the request.
    quantile_limits_ms: Limits


class RolloutCounter:
    """Counts the requests of one rollout in one gateway."""

    def __init__(self, watch: Watch, ledger: Ledger | None = None) -> None:
        """Counts are also written to `ledger` until they are acknowledged."""
        self.watch = watch
        self.breaker = Breaker()
        self._ledger = ledger
        self._number = 0
        self._sent: CountDelta | None = None
        # Variant -> rows and time of its runs at the start of the delta, and the revision at that time.
        self._ran: Mapping[str, tuple[int, float]] = {}
        self._sizes: Mapping[str, Sizes] = {}
        self._revision = 0
        self._clear()

    def protected(self, routes: Routes) -> Routes:
        """The routes; without the candidate if its breaker is open."""
        return routes if self.breaker.trip is None else routes.without(self.watch.candidate)

    def recall(self, past: Count) -> None:
        """Send the counts from before the rollout with the first delta. The ledger does not have them."""
        if past.keys:
            self._counts[BEFORE, True, self.watch.baseline] = past

    def count(
        self, choice: Choice, *, failed: bool, ms: float, request_id: str, bucket: int | None = None
    ) -> None:
        """Count a request that was admitted and has ended."""
        self.end(self.admit(choice, bucket), failed=failed, ms=ms, request_id=request_id)

    def admit(self, choice: Choice, bucket: int | None) -> Admitted:
        """Count an admitted request; `bucket` is the bucket of its sticky key, if any. The request counts for
        the variant that the routes chose, whichever variant answers."""
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
        """Count the outcome of an admitted request after `ms`. If the client disconnected, `ms` is infinity,
        and the request counts as over the limit even if the limit is not known."""
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

    def delta(
        self, revision: int, ran: Mapping[str, tuple[int, float]], sizes: Mapping[str, Sizes] | None = None
    ) -> CountDelta | None:
        """The delta to send: the unacknowledged one, or a new one; None if nothing was counted.

        `ran` has the rows and CPU milliseconds of all runs so far, by variant, and `sizes` the same by size
        of run. `revision` is the revision of the routes in force."""
        if self._sent is None and (self._counts or self._answered or self.copies != ShadowResults()):
            self._number += 1
            self._sent = CountDelta(
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
        """The keeper has stored the delta `number`."""
        if self._sent is not None and self._sent.number <= number:
            if self._ledger is not None:
                self._ledger.acknowledge(self._sent.number)
            self._sent = None

    def close(self) -> None:
        """Delete the ledger, because the rollout is over."""
        if self._ledger is not None:
            self._ledger.close()

    def _runs_since(
        self, revision: int, ran: Mapping[str, tuple[int, float]], sizes: Mapping[str, Sizes]
    ) -> dict[str, VariantRun]:
        # Runs under other routes had batches of other sizes.
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
        # Request ids and the top classes of their answers.
        self.tops: deque[tuple[str, int]] = deque(maxlen=_MOST_ANSWERED)
        self.copies = ShadowResults()
        self.disagreements: deque[Disagreement] = deque(maxlen=_MOST_DISAGREEMENTS)
