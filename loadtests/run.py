"""Run: Locust as a library, in this process. Importing this file monkey-patches the process."""

import signal
import time

import gevent
from locust.env import Environment
from tqdm import tqdm

from loadtests.arrivals import make_schedule
from loadtests.metadata import ModelMetadata
from loadtests.payloads import Payloads
from loadtests.plan import LoadPlan
from loadtests.sample import Measurement
from loadtests.user import InferUser, Load

# An answer that takes longer than this after the last arrival is a failure.
DRAIN_S = 10


def measure(plan: LoadPlan, metadata: ModelMetadata, payloads: Payloads) -> Measurement:
    """Send the plan's requests and return what was measured; Ctrl-C ends the run early."""
    arrivals = make_schedule(
        rate_per_s=plan.rate_per_s,
        duration_s=plan.duration_s,
        pinned=plan.pinned,
        payloads=payloads.count,
        seed=plan.seed,
    )
    bodies = {index: payloads.encode(index) for index in {arrival.payload for arrival in arrivals}}
    with tqdm(
        total=len(arrivals),
        unit="request",
        desc=f"load on {plan.model}",
        leave=False,
        mininterval=0.5,
        disable=None,
    ) as bar:
        load = Load(arrivals=arrivals, bodies=bodies, metadata=metadata, drain_s=DRAIN_S, on_sent=bar.update)
        wall_start_s, cpu_start_s = time.perf_counter(), time.process_time()
        complete = _walk(plan.url, load)
    return Measurement(
        samples=tuple(sorted(load.samples, key=lambda sample: sample.intended_s)),
        complete=complete,
        wall_s=time.perf_counter() - wall_start_s,
        cpu_s=time.process_time() - cpu_start_s,
    )


def _walk(url: str, load: Load) -> bool:
    user_class = type("InferUser", (InferUser,), {"load": load})
    environment = Environment(user_classes=[user_class], host=url, catch_exceptions=False)
    runner = environment.create_local_runner()
    before = signal.getsignal(signal.SIGINT)
    on_interrupt = gevent.signal_handler(signal.SIGINT, load.interrupt)
    try:
        runner.start(1, spawn_rate=1)
        return bool(load.finished.get())
    finally:
        on_interrupt.cancel()
        signal.signal(signal.SIGINT, before)
        runner.quit()
