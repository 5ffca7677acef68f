"""Defines the results of the demo, from which `summary.json`, the table and the page are made."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import JsonValue

from deployments.demo.rollout_story import RolloutStory
from serve.base.record import Record
from serve.bundles.bundle import Bundle
from serve.bundles.repository import StoredModel
from serve.rollout.state.rollout import Phase

MODEL = "digits-demo"
BEST = "slim-int8"
BAD = "mixed-up"


class Latency(Record):
    """Latency in ms from the scheduled start, with its 95 % interval. None: too few answers for it."""

    value: float
    low: float | None
    high: float | None


class CpuTime(Record):
    """CPU ms per request of the server, including the idle work of its processes."""

    # The model's own run.
    model_ms: float
    gateway_ms: float
    # The keeper and Ray's own processes.
    proxy_ms: float

    @property
    def total_ms(self) -> float:
        """The sum for all processes."""
        return self.model_ms + self.gateway_ms + self.proxy_ms


class VariantRow(Record):
    """A variant: quality from the export, requests and cost from the load test. None: not measured."""

    variant: str
    model_size_bytes: int
    parameters: int
    accuracy: float
    macro_f1: float
    # Share of held-out inputs on which the top class is the baseline's.
    agreement: float
    requests: int
    errors: int
    p50_ms: Latency | None
    p95_ms: Latency | None
    p99_ms: Latency | None
    cpu_per_request: CpuTime | None


class Summary(Record):
    """The content of `summary.json`, schema version 3."""

    schema_version: Literal[3] = 3
    model: str
    baseline: str
    best: str
    placement: Literal["together"] = "together"
    # The number of rows on which quality was measured.
    held_out_rows: int
    variants: tuple[VariantRow, ...]
    # The rollout to the best variant, then the one to the bad candidate.
    rollouts: tuple[RolloutStory, RolloutStory]
    # The requests during the rollouts, those of them that failed, and those that the bad candidate answered.
    requests: int
    errors: int
    bad_answers: int
    took_s: float
    # The reports of the load tests: all variants at random, and the requests during the rollouts.
    compared: dict[str, JsonValue]
    traffic: dict[str, JsonValue]

    @property
    def cpu_ratio(self) -> float | None:
        """CPU time per request of the baseline, divided by the best variant's. None: not measured."""
        costs = {row.variant: row.cpu_per_request for row in self.variants}
        before, after = costs[self.baseline], costs[self.best]
        return None if before is None or after is None else before.total_ms / after.total_ms

    @property
    def faults(self) -> tuple[str, ...]:
        """Sentences about unexpected results; empty if there are none."""
        good, bad = self.rollouts
        faults = []
        if failed := self.errors + sum(row.errors for row in self.variants):
            faults.append(f"{failed} requests failed")
        if good.phase is not Phase.DONE:
            faults.append(f"the rollout to {good.candidate} ended {good.phase}: {good.reason}")
        if bad.phase is not Phase.ROLLED_BACK or not bad.ended_in_shadow:
            faults.append(f"the rollout to {bad.candidate} ended {bad.phase}: {bad.reason}")
        if self.bad_answers:
            faults.append(f"{bad.candidate} answered {self.bad_answers} requests")
        return tuple(faults)


def summarize(
    model: StoredModel,
    compared: Mapping[str, Any],
    traffic: Mapping[str, Any],
    rollouts: Sequence[RolloutStory],
    took_s: float,
) -> Summary:
    """Return the summary of a run; `compared` and `traffic` are reports that `loadtest run --json` wrote."""
    good, bad = rollouts
    return Summary(
        model=model.name,
        baseline=model.baseline,
        best=good.candidate,
        held_out_rows=model.bundles[model.baseline].figures.quality.rows,
        variants=tuple(
            _row(bundle, compared["variants"][variant]) for variant, bundle in model.servable.items()
        ),
        rollouts=(good, bad),
        requests=traffic["requests"],
        errors=traffic["errors"],
        bad_answers=traffic["variants"][bad.candidate]["requests"],
        took_s=took_s,
        compared=dict(compared),
        traffic=dict(traffic),
    )


def _row(bundle: Bundle, load: Mapping[str, Any]) -> VariantRow:
    figures, quality = bundle.figures, bundle.figures.quality
    # The demo's model is a classifier with labels, so all three were measured.
    assert quality.accuracy is not None
    assert quality.macro_f1 is not None
    assert quality.agreement is not None
    return VariantRow(
        variant=bundle.variant,
        model_size_bytes=figures.model_size_bytes,
        parameters=figures.parameters,
        accuracy=quality.accuracy.value,
        macro_f1=quality.macro_f1.value,
        agreement=quality.agreement.value,
        cpu_per_request=_cpu_time(load["cost"]),
        **{name: load[name] for name in ("requests", "errors", "p50_ms", "p95_ms", "p99_ms")},
    )


def _cpu_time(cost: Mapping[str, float] | None) -> CpuTime | None:
    if cost is None:
        return None
    # Seconds per 1,000 requests are milliseconds per request.
    return CpuTime(model_ms=cost["model_s"], gateway_ms=cost["gateway_s"], proxy_ms=cost["proxy_s"])
