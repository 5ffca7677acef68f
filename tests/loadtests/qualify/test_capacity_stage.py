import pytest

from loadtests.judging.limits import Limits
from loadtests.load_verdict import Check, CheckOutcome
from loadtests.qualify.capacity_stage import check_capacity
from loadtests.report import LoadReport
from tests.loadtests.reports import make_check, make_report

LIMITS = Limits(p99_ms=50)


def search(baseline: float | None, candidate: float | None) -> LoadReport:
    """A search that found these capacities."""
    report = make_report("capacity")
    found = {"fp32": baseline, "slim-int8": candidate}
    checks: tuple[Check, ...] = tuple(
        make_check(f"capacity of {name}", outcome=CheckOutcome.FAIL if rate is None else CheckOutcome.PASS)
        for name, rate in found.items()
    )
    capacities = {
        name: report.capacities[name].model_copy(update={"rate_per_s": rate}) for name, rate in found.items()
    }
    return report.model_copy(update={"capacities": capacities, "checks": checks})


@pytest.mark.parametrize(
    ("baseline", "candidate", "wanted", "outcome"),
    [
        (200, 400, 1.0, CheckOutcome.PASS),
        (400, 200, 1.0, CheckOutcome.FAIL),
        # Each capacity has a precision of a twentieth.
        (200, 191, 1.0, CheckOutcome.PASS),
        (200, 190, 1.0, CheckOutcome.FAIL),
        (400, 200, 0.5, CheckOutcome.PASS),
        (200, 300, 2.0, CheckOutcome.FAIL),
    ],
)
def test_the_candidate_must_bear_as_much_as_is_asked(
    baseline: float, candidate: float, wanted: float, outcome: CheckOutcome
) -> None:
    """The ratio of the capacities is checked against the wanted one, with 5 % of tolerance."""
    limits = LIMITS.model_copy(update={"capacity_ratio": wanted})
    stage = check_capacity(search(baseline, candidate), "fp32", "slim-int8", limits)
    assert stage.outcome is outcome
    assert stage.checks[-1].name == "capacity ratio"
    assert stage.checks[-1].used == pytest.approx(wanted * baseline / candidate / 1.05)


def test_both_rates_stand_in_words() -> None:
    """The check gives the candidate's rate, the baseline's rate and their ratio."""
    stage = check_capacity(search(200, 400), "fp32", "slim-int8", LIMITS)
    assert stage.checks[-1].seen == "slim-int8 400 requests/s, fp32 200: 2.00x"


@pytest.mark.parametrize("rates", [(200, None), (None, 200)])
def test_without_both_there_is_no_ratio(rates: tuple[float | None, float | None]) -> None:
    """If a variant has no capacity, there is no ratio."""
    stage = check_capacity(search(*rates), "fp32", "slim-int8", LIMITS)
    assert stage.outcome is CheckOutcome.FAIL
    assert [check.name for check in stage.checks] == ["capacity of fp32", "capacity of slim-int8"]


def test_a_search_that_was_ended_early_has_no_ratio_either() -> None:
    """A search that ended early has no ratio."""
    report = search(200, 400)
    half = report.model_copy(update={"capacities": {"fp32": report.capacities["fp32"]}, "complete": False})
    assert "capacity ratio" not in [
        check.name for check in check_capacity(half, "fp32", "slim-int8", LIMITS).checks
    ]


def test_what_only_passed_so_far_is_no_capacity() -> None:
    """A search that did not settle makes the stage INVALID, without a ratio."""
    report = search(200, 40)
    first, second = report.checks
    open_end = second.model_copy(update={"kind": "gate", "outcome": CheckOutcome.INVALID})
    unsettled = report.model_copy(update={"checks": (first, open_end)})
    stage = check_capacity(unsettled, "fp32", "slim-int8", LIMITS)
    assert stage.outcome is CheckOutcome.INVALID
    assert len(stage.reasons) == 1
