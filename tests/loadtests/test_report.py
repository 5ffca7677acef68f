import json
import math
from typing import Any

import pytest

from loadtests.metadata import ModelMetadata
from loadtests.plan import LoadPlan
from loadtests.report import LoadReport, make_report, table
from loadtests.sample import Measurement, Sample


def _sample(latency_ms: float = 10, *, late_ms: float = 0, variant: str = "fp32", **changes: Any) -> Sample:
    sent = {"intended_s": 1.0, "sent_s": 1 + late_ms / 1000, "done_s": 1 + latency_ms / 1000}
    return Sample(**{**sent, "pinned": None, "variant": variant, "status": 200, "error": None, **changes})


def _failed(**changes: Any) -> Sample:
    return _sample(**{"variant": None, "status": None, "error": "refused", **changes})


def _report(
    metadata: ModelMetadata, samples: list[Sample], *, cpu_s: float = 0.1, complete: bool = True, **plan: Any
) -> LoadReport:
    # By default as many arrivals as were to be expected.
    asked = {"url": "http://host", "model": "digits", "rate_per_s": max(len(samples), 1), "duration_s": 1}
    measured = Measurement(samples=tuple(samples), complete=complete, wall_s=1, cpu_s=cpu_s)
    return make_report(LoadPlan.model_validate(asked | plan), metadata, measured)


def test_percentiles_are_measured_values(metadata: ModelMetadata) -> None:
    """Of 1 to 1,000 ms the p50, p95 and p99 are 500, 950 and 990, and the mean is 500.5."""
    report = _report(metadata, [_sample(ms) for ms in range(1, 1001)])
    fp32 = report.variants["fp32"]
    assert fp32.p50_ms == pytest.approx(500)
    assert fp32.p95_ms == pytest.approx(950)
    assert fp32.p99_ms == pytest.approx(990)
    assert fp32.mean_ms == pytest.approx(500.5)


def test_latency_counts_from_the_intended_start(metadata: ModelMetadata) -> None:
    """A request sent 90 ms late and answered 10 ms later took 100 ms."""
    report = _report(metadata, [_sample(100, late_ms=90)])
    assert report.variants["fp32"].p50_ms == pytest.approx(100)


def test_the_curve_reaches_as_far_as_the_samples(metadata: ModelMetadata) -> None:
    """Ten points to a decade of the tail, from the fastest to the one that 1 of 1,000 exceeds."""
    curve = _report(metadata, [_sample(ms) for ms in range(1, 1001)]).variants["fp32"].curve
    assert len(curve) == 31
    assert curve[0] == pytest.approx((0, 1))
    assert curve[10] == pytest.approx((0.9, 900))
    assert curve[-1] == pytest.approx((0.999, 999))


def test_an_error_without_a_variant_is_of_unknown(metadata: ModelMetadata) -> None:
    """It is counted, but against nobody."""
    report = _report(metadata, [_sample(), _failed()])
    assert report.errors == 1
    assert report.variants["unknown"].errors == 1
    assert report.variants["fp32"].errors == 0


def test_an_error_on_a_pinned_request_is_of_its_pin(metadata: ModelMetadata) -> None:
    """Who was asked is known, even where nobody answered."""
    report = _report(metadata, [_failed(pinned="int8", done_s=None)], pinned=("int8",))
    assert report.variants["int8"].errors == 1
    assert report.variants["int8"].p50_ms is None
    assert list(report.variants) == ["int8"]


def test_errors_are_counted_by_cause(metadata: ModelMetadata) -> None:
    """The most frequent cause comes first."""
    samples = [_failed(error="reset"), *[_failed()] * 2]
    assert list(_report(metadata, samples).errors_by_cause.items()) == [("refused", 2), ("reset", 1)]


def test_shares_are_of_answered_requests(metadata: ModelMetadata) -> None:
    """A variant that answered nothing stands in the report with a share of 0."""
    report = _report(metadata, [*[_sample()] * 4, _failed()])
    assert report.variants["fp32"].share_served == 1
    assert report.variants["int8"].share_served == 0
    assert report.variants["int8"].requests == 0


@pytest.mark.parametrize(
    ("late_ms", "latency_ms", "warned"),
    [(1.9, 10, False), (2.1, 10, True), (4.9, 100, False), (5.1, 100, True)],
)
def test_a_late_sender_is_told(
    metadata: ModelMetadata, late_ms: float, latency_ms: float, warned: bool
) -> None:
    """Fair is a p99 of lateness up to 2 ms or 5 % of the median latency, whichever is more."""
    report = _report(metadata, [_sample(latency_ms, late_ms=late_ms)])
    assert any("the sender was late" in warning for warning in report.warnings) == warned


@pytest.mark.parametrize(("cpu_s", "warned"), [(0.69, False), (0.71, True)])
def test_a_busy_sender_is_told(metadata: ModelMetadata, cpu_s: float, warned: bool) -> None:
    """Beyond 70 % of its core the load generator is part of what it measures."""
    report = _report(metadata, [_sample()], cpu_s=cpu_s)
    assert any("of its core" in warning for warning in report.warnings) == warned


@pytest.mark.parametrize(("expected", "warned"), [(130, False), (131, True)])
def test_arrivals_off_schedule_are_told(metadata: ModelMetadata, expected: int, warned: bool) -> None:
    """Three standard deviations of a Poisson count are sqrt(expected) * 3: 34.2 of 130, 34.3 of 131."""
    samples = [_sample()] * (130 - math.floor(3 * 130**0.5))
    report = _report(metadata, samples, rate_per_s=expected)
    assert any("off schedule" in warning for warning in report.warnings) == warned


def test_a_run_ended_early_is_not_off_schedule(metadata: ModelMetadata) -> None:
    """Its missing arrivals were never due."""
    report = _report(metadata, [_sample()], rate_per_s=100, complete=False)
    assert not any("off schedule" in warning for warning in report.warnings)
    assert "(ended early)" in table(report)


@pytest.mark.parametrize(("answers", "marked"), [(999, True), (1000, False)])
def test_a_thin_p99_is_marked(metadata: ModelMetadata, answers: int, marked: bool) -> None:
    """A p99 of fewer than 1,000 answers has a tilde, and a footnote says why."""
    text = table(_report(metadata, [_sample()] * answers))
    assert ("~10.00" in text) == marked
    assert ("\n~ the p99 of fp32 (999) rests on fewer than 1,000 answers" in text) == marked


def test_a_run_without_an_answer_still_reports(metadata: ModelMetadata) -> None:
    """No sample means no figure, never a zero or a crash."""
    report = _report(metadata, [], complete=False)
    assert report.sender.lateness_p99_ms is None
    assert " -" in table(report)


def test_the_json_reads_back(metadata: ModelMetadata) -> None:
    """What is printed is the whole report, and of schema version 1."""
    report = _report(metadata, [_sample(), _failed()])
    content = json.loads(report.model_dump_json())
    assert content["schema_version"] == 1
    assert LoadReport.model_validate(content) == report
