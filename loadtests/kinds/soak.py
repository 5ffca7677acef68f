"""Runs one rate for a long time, and checks whether latency, errors or the server's memory grow."""

from collections.abc import Sequence

import numpy as np

from loadtests.judging.aggregation import estimate_quantile
from loadtests.judging.checks import excuse
from loadtests.judging.limits import Limits
from loadtests.judging.request_cost import read_meter
from loadtests.judging.run_length import say_longer, times_for_interval
from loadtests.kinds.load import LoadRun, check_run, load, report_run
from loadtests.load_plan import LoadPlan
from loadtests.load_timeline import LoadTimeline
from loadtests.load_verdict import Check, CheckOutcome
from loadtests.report import LoadReport
from loadtests.sending.client import Client
from loadtests.sending.live_counters import LiveCounters
from loadtests.sending.measure import LoadTarget
from loadtests.sending.samples import Samples
from loadtests.variant_report import Interval

NO_MEMORY = "no memory: the server's /metrics does not report the memory of its processes"


class MemoryLog:
    """Records the server's resident memory during a run."""

    def __init__(self, client: Client, every_s: float) -> None:
        self._client = client
        self._every_s = every_s
        self._due_s = 0.0
        # Pairs of [second, bytes].
        self.readings: list[tuple[float, int]] = []

    def __call__(self, live: LiveCounters, now_s: float) -> bool:
        """Read the memory when it is time; always returns False, so it never ends the run."""
        if now_s >= self._due_s:
            self._due_s = now_s + self._every_s
            if (meter := read_meter(self._client)) is not None and meter.memory_bytes:
                self.readings.append((now_s, meter.memory_bytes))
        return False


def soak(client: Client, target: LoadTarget, plan: LoadPlan, limits: Limits) -> tuple[LoadReport, Samples]:
    """Run the soak and return the report and the samples of every request."""
    memory = MemoryLog(client, max(1.0, plan.duration_s / 60))
    run = load(client, target, plan, limits, memory)
    checks = [check for check in check_run(run) if check.name != "steady state"]
    checks.append(excuse(_guard_latency(run), run.measured.steal))
    if memory.readings:
        checks.append(_guard_memory(memory.readings, run))
    report = report_run("soak", run, checks, notes=() if memory.readings else (NO_MEMORY,))
    if report.timeline is not None and memory.readings:
        timeline = _with_memory(report.timeline, memory.readings)
        report = report.model_copy(update={"timeline": timeline})
    return report, run.measured.samples


def _guard_latency(run: LoadRun) -> Check:
    """Check the median of the last third relative to the first."""
    samples, end_s = run.samples, run.measured.sent_until_s
    first, last = (
        estimate_quantile(np.sort(samples.latency_ms[samples.timed & chosen]), 0.5)
        for chosen in (samples.intended_s < end_s / 3, samples.intended_s >= end_s * 2 / 3)
    )
    if first is None or last is None or None in (first.low, first.high, last.low, last.high):
        return _drift("median", "too few answers", run.limits, None)
    low, high = last.low / first.high, last.high / first.low  # type: ignore[operator] # looked at above
    growth = Interval(value=last.value / first.value, low=low, high=high)
    return _drift("median", f"{first.value:.3g} to {last.value:.3g} ms", run.limits, growth)


def _guard_memory(readings: Sequence[tuple[float, int]], run: LoadRun) -> Check:
    """Check the highest reading of the last third relative to the first."""
    end_s = run.measured.sent_until_s
    first = max((memory for at_s, memory in readings if at_s < end_s / 3), default=0)
    last = max((memory for at_s, memory in readings if at_s >= end_s * 2 / 3), default=0)
    if not first or not last:
        return _drift("memory", "too few readings", run.limits, None)
    growth = last / first
    seen = f"{first / 2**20:,.0f} to {last / 2**20:,.0f} MiB"
    return _drift("memory", seen, run.limits, Interval(value=growth, low=growth, high=growth))


def _drift(what: str, seen: str, limits: Limits, growth: Interval | None) -> Check:
    allowed = 1 + limits.drift
    if growth is None or growth.low is None or growth.high is None:
        outcome, used, longer = CheckOutcome.INVALID, None, "run longer"
    else:
        used = growth.high / allowed
        seen += f": {growth.value:.3f} times [{growth.low:.3f}, {growth.high:.3f}]"
        bad = CheckOutcome.FAIL if growth.low > allowed else CheckOutcome.INVALID
        outcome = CheckOutcome.PASS if growth.high <= allowed else bad
        longer = say_longer(times_for_interval(growth, allowed, allowed))
    more = f"; undecided: {longer}" if outcome is CheckOutcome.INVALID else ""
    return Check(
        name=f"drift of {what}",
        kind="guard",
        outcome=outcome,
        seen=f"first third to last: {seen}",
        wanted=f"at most {allowed:.3g} times{more}",
        used=used,
    )


def _with_memory(timeline: LoadTimeline, readings: Sequence[tuple[float, int]]) -> LoadTimeline:
    """Return the timeline with the last memory reading before the end of each window."""
    memory = tuple(
        next((size for at_s, size in reversed(readings) if at_s <= end_s), None) for end_s in timeline.at_s
    )
    return timeline.model_copy(update={"memory_bytes": memory})
