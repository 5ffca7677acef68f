"""Runs Locust as a library in this process. Importing this module monkey-patches the process."""

import contextlib
import gc
import resource
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import gevent
from locust.env import Environment
from tqdm import tqdm

from loadtests.judging.contention import ContentionClock
from loadtests.load_plan import LoadPlan
from loadtests.sending.arrivals import Schedule, make_schedule
from loadtests.sending.body import Body
from loadtests.sending.end_signals import end_signals
from loadtests.sending.live_counters import LiveCounters
from loadtests.sending.machine import StealClock
from loadtests.sending.measurement import Measurement
from loadtests.sending.model_metadata import ModelMetadata
from loadtests.sending.payloads import Payloads
from loadtests.sending.progress_log import ProgressLog
from loadtests.sending.user import CONCURRENCY, InferUser, UserLoad

# An answer that takes longer than this after the last arrival counts as a failure.
DRAIN_S = 10.0


@dataclass(frozen=True, kw_only=True)
class LoadTarget:
    """The model under load, the inputs to send, and the headers that authorize requests."""

    metadata: ModelMetadata
    payloads: Payloads
    headers: Mapping[str, str]


def measure(
    plan: LoadPlan,
    target: LoadTarget,
    limit_ms: float | None = None,
    is_enough: Callable[[LiveCounters, float], bool] | None = None,
) -> Measurement:
    """Send the plan's requests and return the measurement; Ctrl-C, SIGTERM and SIGHUP end the run early.

    `is_enough` is called four times a second with the seconds since the start; if it returns True, the run
    ends normally. Its exceptions propagate."""
    schedule = make_schedule(plan, target.payloads.count)
    steal, contention = StealClock(), ContentionClock()
    progress = ProgressLog(plan)

    def look(live: LiveCounters, now_s: float) -> bool:
        progress(live, now_s)
        return is_enough is not None and is_enough(live, now_s)

    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    with _show_bar(plan, len(schedule)) as bar:
        load = UserLoad(
            schedules=[schedule],
            begin_s=-plan.warmup_s,
            bodies=_encode_bodies(plan, target.payloads, schedule),
            metadata=target.metadata,
            headers=target.headers,
            drain_s=DRAIN_S,
            live=LiveCounters(limit_ms=limit_ms),
            on_sent=bar.update,
            is_enough=look,
        )
        complete = _walk(plan.url, load)
    return Measurement(
        samples=load.recorder.samples(),
        started_at=started_at,
        complete=complete,
        sent_until_s=load.sent_until_s,
        wall_s=load.wall_s,
        cpu_s=load.cpu_s,
        pool_full=load.pool_full,
        steal=steal.share(),
        contention=contention.read(),
    )


def _show_bar(plan: LoadPlan, requests: int) -> Any:
    """Return a progress bar for a terminal."""
    return tqdm(
        total=requests,
        unit="request",
        desc=f"load on {plan.model}",
        leave=False,
        mininterval=0.5,
        disable=None,
    )


def _encode_bodies(plan: LoadPlan, payloads: Payloads, schedule: Schedule) -> dict[int, Body]:
    """Encode every payload that the schedule sends, before the run."""
    return {int(index): payloads.encode(int(index), binary=plan.binary) for index in set(schedule.payload)}


def _walk(url: str, load: UserLoad) -> bool:
    user_class = type("InferUser", (InferUser,), {"load": load})
    environment = Environment(user_classes=[user_class], host=url, catch_exceptions=False)
    runner = environment.create_local_runner()
    before = {ending: signal.getsignal(ending) for ending in end_signals()}
    watchers = [gevent.signal_handler(ending, load.interrupt) for ending in before]
    try:
        with _ready():
            runner.start(1, spawn_rate=1)
            return bool(load.finished.get())
    finally:
        for watcher in watchers:
            watcher.cancel()
        for ending, handler in before.items():
            signal.signal(ending, handler)
        runner.quit()


@contextlib.contextmanager
def _ready() -> Iterator[None]:
    """Avoid pauses caused by this process itself, and running out of file descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    file_limit = CONCURRENCY + 256
    if (
        soft != resource.RLIM_INFINITY
        and soft < file_limit
        and (hard == resource.RLIM_INFINITY or hard >= file_limit)
    ):
        resource.setrlimit(resource.RLIMIT_NOFILE, (file_limit, hard))
    gc.collect()
    # Objects that exist already need not be searched for garbage during the run.
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
