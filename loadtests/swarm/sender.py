"""Sends this process's share of a load that several processes send together."""

from dataclasses import dataclass

from loadtests.sending.arrivals import make_endless
from loadtests.sending.live_counters import LiveCounters
from loadtests.sending.measure import DRAIN_S
from loadtests.sending.samples import Recorder, Samples
from loadtests.sending.user import InferUser, UserLoad
from loadtests.swarm.options import SwarmOptions

# Time for the walk to end after the wait for answers.
_SPARE_S = 5.0


@dataclass(frozen=True, kw_only=True)
class SenderResult:
    """The result of one sender."""

    sent_until_s: float
    wall_s: float
    cpu_s: float
    pool_full: int


class Sender:
    """Gives the users of a class their schedule, and collects their samples."""

    def __init__(self, user_class: type[InferUser]) -> None:
        self._user_class = user_class
        self._load: UserLoad | None = None

    def prepare(self, load_request: SwarmOptions, part: int, parts: int) -> None:
        """Let the next user send every `parts`-th request of the load, starting with number `part`."""
        payloads = load_request.target.payloads
        self._load = self._user_class.load = UserLoad(
            schedules=(
                schedule.share(part, parts) for schedule in make_endless(load_request.plan, payloads.count)
            ),
            begin_s=-load_request.plan.warmup_s,
            bodies={
                index: payloads.encode(index, binary=load_request.plan.binary)
                for index in range(payloads.count)
            },
            metadata=load_request.target.metadata,
            headers=load_request.target.headers,
            drain_s=DRAIN_S,
            live=LiveCounters(limit_ms=load_request.limits.p99_ms),
            on_sent=lambda: None,
        )

    def take(self) -> Samples:
        """Return the samples recorded since the last call."""
        recorder = Recorder()
        if self._load is not None:
            recorder, self._load.recorder = self._load.recorder, recorder
        return recorder.samples()

    def finish(self) -> SenderResult | None:
        """Stop sending and wait a limited time for answers; None if there was nothing to send."""
        load = self._load
        if load is None:
            return None
        if not load.finished.ready():
            load.interrupt()
        load.finished.wait(DRAIN_S + _SPARE_S)
        del self._user_class.load
        return SenderResult(
            sent_until_s=load.sent_until_s,
            wall_s=load.wall_s,
            cpu_s=load.cpu_s,
            pool_full=load.pool_full,
        )
