"""LoadReport: one JSON of what was measured, and the table made from it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from loadtests.metadata import ModelMetadata
from loadtests.plan import LoadPlan
from loadtests.record import Record
from loadtests.sample import Measurement, Sample

# The row of errors on requests that followed the split: nobody can say whose they are.
UNKNOWN = "unknown"
# A p99 of fewer rests on less than ten slow requests.
_SAMPLES_FOR_P99 = 1000


class VariantReport(Record):
    """One variant. Latency counts from the intended start, over answered requests; None: there were none."""

    requests: int
    errors: int
    # Share of all answered requests.
    share_served: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    mean_ms: float | None
    # [quantile, ms], ten to a decade of the tail (1 - quantile), as far as the samples reach.
    curve: tuple[tuple[float, float], ...]


class SenderReport(Record):
    """Whether the load generator kept its own promise."""

    # From the intended moment to the moment of sending; None: nothing was sent.
    lateness_p50_ms: float | None
    lateness_p99_ms: float | None
    cpu_s: float
    # Of one core.
    cpu_share: float


class LoadReport(Record):
    """What `counterweight loadtest run --json` prints, schema version 1."""

    schema_version: Literal[1] = 1
    url: str
    model: str
    seed: int
    rate_per_s: float
    duration_s: float
    pinned: tuple[str, ...]
    # False: it was ended early, and the figures are of the part that ran.
    complete: bool
    requests: int
    errors: int
    errors_by_cause: Mapping[str, int]
    variants: Mapping[str, VariantReport]
    sender: SenderReport
    # Why not to trust a figure.
    warnings: tuple[str, ...]


def make_report(plan: LoadPlan, metadata: ModelMetadata, measured: Measurement) -> LoadReport:
    """The figures of one run."""
    samples = measured.samples
    causes = Counter(sample.error for sample in samples if sample.error is not None)
    variants = _split_by_variant(samples, plan.pinned or metadata.versions)
    answered = sum(sample.error is None for sample in samples)
    sender = _describe_sender(measured)
    reports = {name: _describe(mine, answered) for name, mine in variants.items()}
    return LoadReport(
        **plan.model_dump(),
        complete=measured.complete,
        requests=len(samples),
        errors=causes.total(),
        errors_by_cause=dict(causes.most_common()),
        variants=reports,
        sender=sender,
        warnings=tuple(_warn(plan, measured, sender, reports)),
    )


def table(report: LoadReport) -> str:
    """The report for people: a row per variant, then whatever takes trust from it."""
    thin = _warn_thin(report.variants)
    state = "" if report.complete else " (ended early)"
    head = ["variant", "requests", "errors", "share %", "p50 ms", "p95 ms", "p99 ms", "mean ms"]
    rows = [_row(name, variant) for name, variant in report.variants.items()]
    late = report.sender
    lines = [
        f"{report.model} at {report.url}: {report.rate_per_s:g}/s for {report.duration_s:g} s, "
        f"seed {report.seed}{state}",
        tabulate(rows, head, disable_numparse=True, colalign=["left"] + ["right"] * 7),
        f"sender: lateness p50 {_ms(late.lateness_p50_ms)} ms, p99 {_ms(late.lateness_p99_ms)} ms, "
        f"{late.cpu_share:.0%} of one core",
    ]
    lines += [f"{'~' if warning in thin else 'warning:'} {warning}" for warning in report.warnings]
    lines += [f"error: {count} x {cause}" for cause, count in report.errors_by_cause.items()]
    return "\n".join(lines)


def _split_by_variant(samples: Sequence[Sample], expected: Sequence[str]) -> dict[str, list[Sample]]:
    variants: dict[str, list[Sample]] = {name: [] for name in expected}
    for sample in samples:
        variants.setdefault(sample.variant or sample.pinned or UNKNOWN, []).append(sample)
    return variants


def _describe(samples: Sequence[Sample], answered_by_all: int) -> VariantReport:
    latencies = _latencies(samples)
    p50, p95, p99 = (_quantile(latencies, q) for q in (0.5, 0.95, 0.99))
    return VariantReport(
        requests=len(samples),
        errors=len(samples) - len(latencies),
        share_served=len(latencies) / answered_by_all if answered_by_all else 0.0,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        mean_ms=float(latencies.mean()) if len(latencies) else None,
        curve=_curve(latencies),
    )


def _latencies(samples: Sequence[Sample]) -> NDArray[np.float64]:
    """Latency in ms of what was answered rightly."""
    return np.array(
        [
            (sample.done_s - sample.intended_s) * 1000
            for sample in samples
            if sample.error is None and sample.done_s is not None
        ],
        np.float64,
    )


def _quantile(values: NDArray[np.float64], q: float) -> float | None:
    # A value that was measured, not one between two: the smallest that a share of q does not exceed.
    return float(np.quantile(values, q, method="inverted_cdf")) if len(values) else None


def _curve(latencies: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    if not len(latencies):
        return ()
    steps = int(10 * np.log10(len(latencies)) + 1e-9)
    quantiles = 1 - 10 ** (-np.arange(steps + 1) / 10)
    values = np.quantile(latencies, quantiles, method="inverted_cdf")
    return tuple((float(q), float(ms)) for q, ms in zip(quantiles, values, strict=True))


def _describe_sender(measured: Measurement) -> SenderReport:
    lateness = np.array([sample.lateness_ms for sample in measured.samples], np.float64)
    return SenderReport(
        lateness_p50_ms=_quantile(lateness, 0.5),
        lateness_p99_ms=_quantile(lateness, 0.99),
        cpu_s=measured.cpu_s,
        cpu_share=measured.cpu_s / measured.wall_s,
    )


def _warn(
    plan: LoadPlan, measured: Measurement, sender: SenderReport, reports: Mapping[str, VariantReport]
) -> list[str]:
    warnings = []
    p50_ms = _quantile(_latencies(measured.samples), 0.5) or 0.0
    limit_ms = max(2.0, 0.05 * p50_ms)
    if sender.lateness_p99_ms is not None and sender.lateness_p99_ms > limit_ms:
        warnings.append(
            f"the sender was late: p99 {sender.lateness_p99_ms:.1f} ms, at most {limit_ms:.1f} ms is fair; "
            "latencies hold the load generator's own delay: lower the rate or use a quieter machine"
        )
    if sender.cpu_share > 0.7:
        warnings.append(
            f"the sender used {sender.cpu_share:.0%} of its core; lower the rate to trust latencies"
        )
    expected = plan.rate_per_s * plan.duration_s
    if measured.complete and abs(len(measured.samples) - expected) > 3 * expected**0.5:
        warnings.append(
            f"arrivals are off schedule: {len(measured.samples)} came, {expected:.0f} were to be expected; "
            "take another seed"
        )
    return warnings + _warn_thin(reports)


def _warn_thin(reports: Mapping[str, VariantReport]) -> list[str]:
    thin = [f"{name} ({_answered(report)})" for name, report in reports.items() if _thin(report)]
    if not thin:
        return []
    return [
        f"the p99 of {', '.join(thin)} rests on fewer than {_SAMPLES_FOR_P99:,} answers; "
        "run longer to trust it"
    ]


def _thin(report: VariantReport) -> bool:
    return 0 < _answered(report) < _SAMPLES_FOR_P99


def _answered(report: VariantReport) -> int:
    return report.requests - report.errors


def _row(name: str, report: VariantReport) -> list[Any]:
    return [
        name,
        f"{report.requests:,}",
        f"{report.errors:,}",
        f"{report.share_served:.1%}".removesuffix("%"),
        _ms(report.p50_ms),
        _ms(report.p95_ms),
        ("~" if _thin(report) else "") + _ms(report.p99_ms),
        _ms(report.mean_ms),
    ]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
