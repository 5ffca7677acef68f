from typing import Any

import pytest

from loadtests.candidate_comparison import Ratio, WeighedEvents
from loadtests.judging.checks import (
    decide,
    excuse,
    guard_backlog,
    guard_errors,
    guard_latency,
    guard_ratio,
    guard_weighed,
)
from loadtests.judging.limits import Limits
from loadtests.load_verdict import Check, CheckOutcome
from tests.loadtests.reports import make_check, make_variant

PASS, FAIL, INVALID = CheckOutcome.PASS, CheckOutcome.FAIL, CheckOutcome.INVALID
_LIMITS = Limits(p99_ms=50, errors=0.01, slower_by=0.05)


@pytest.mark.parametrize(("errors", "outcome"), [(0, PASS), (20, INVALID), (45, FAIL)])
def test_errors_fail_when_shown_to_be_too_many(errors: int, outcome: CheckOutcome) -> None:
    """Of 2,000 requests with 1 % allowed, no error passes, 20 are undecided and 45 fail."""
    check = guard_errors("fp32", make_variant(2000, errors), _LIMITS)
    assert check.outcome is outcome
    assert check.name == "errors of fp32"
    assert (check.used is not None and check.used > 1) == (outcome is not PASS)


@pytest.mark.parametrize(("over", "outcome"), [(2, PASS), (20, INVALID), (45, FAIL)])
def test_p99_is_the_share_over_the_limit(over: int, outcome: CheckOutcome) -> None:
    """The p99 is within the limit if at most 1 % of the requests are shown to be over it."""
    check = guard_latency("fp32", make_variant(2000, over_limit=over), _LIMITS)
    assert check.outcome is outcome
    assert f"{over} of 2,000 over 50 ms" in check.seen


def test_a_few_requests_decide_nothing() -> None:
    """Zero errors in 10 requests are undecided, and the message says how many times as long a run must be."""
    check = guard_errors("fp32", make_variant(10, 0), _LIMITS)
    assert check.outcome is INVALID
    assert "undecided: run longer, about " in check.wanted


@pytest.mark.parametrize(
    ("unanswered", "at_half", "outcome"),
    [(0, 0, PASS), (20, 0, PASS), (100, 90, PASS), (100, 50, FAIL), (1000, 10, FAIL)],
    ids=["none", "2 %", "slow, but no more at the end", "growing evenly", "stopped"],
)
def test_answers_that_pile_up_fail(unanswered: int, at_half: int, outcome: CheckOutcome) -> None:
    """The check passes if 98 % of 1,000 arrivals are answered, or no more are open than half way."""
    assert guard_backlog(1000, unanswered, at_half).outcome is outcome


def test_a_run_that_sent_nothing_kept_up_with_nothing() -> None:
    """A run that sent nothing does not pass the check on the backlog."""
    assert guard_backlog(0, 0, 0).outcome is FAIL


@pytest.mark.parametrize(
    ("failed", "steal", "outcome"),
    [(FAIL, 0.3, INVALID), (FAIL, 0.05, FAIL), (FAIL, None, FAIL), (PASS, 0.3, PASS)],
    ids=["others had much", "others had little", "nobody knows", "it holds all the same"],
)
def test_a_limit_missed_while_others_have_the_cpu_is_undecided(
    failed: CheckOutcome, steal: float | None, outcome: CheckOutcome
) -> None:
    """A missed limit is undecided if others used the CPU, and the message asks for a quieter machine."""
    check = excuse(make_check("p99", outcome=failed), steal)
    assert check.outcome is outcome
    assert check.wanted.endswith("use a quieter machine") == (outcome is INVALID)


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [(0.9, 1.02, PASS), (1.01, 1.04, PASS), (0.98, 1.08, INVALID), (1.01, 1.08, FAIL), (1.2, 1.3, FAIL)],
)
def test_a_median_is_good_bad_or_undecided(low: float, high: float, outcome: CheckOutcome) -> None:
    """A median passes if it is at most 5 % slower, and fails only if it is shown to be slower by more."""
    ratio = Ratio(figure="p50", value=(low + high) / 2, low=low, high=high)
    assert guard_ratio("int8", ratio, _LIMITS).outcome is outcome


@pytest.mark.parametrize(
    ("harm", "safe", "outcome"), [(0, 3.5, PASS), (0, 2.9, INVALID), (6, 0, FAIL), (6, 3.5, FAIL)]
)
def test_what_a_rollout_calls_harm_fails(harm: float, safe: float, outcome: CheckOutcome) -> None:
    """A figure fails if harm is shown, passes if safety is shown, and is otherwise undecided."""
    fields: dict[str, Any] = dict.fromkeys(("value", "low", "high"))
    weighed = WeighedEvents(
        figure="errors", seen="3 against 0", harm=harm, harm_at=5.3, safe=safe, safe_at=3, **fields
    )
    check = guard_weighed("int8", weighed)
    assert check.outcome is outcome
    assert check.name == "errors of int8 against the baseline"


_GATE = make_check("sender on time", kind="gate", outcome=INVALID)
_BAD = make_check("errors", outcome=FAIL, used=3.0)
_UNDECIDED = make_check("p99", outcome=INVALID, used=1.4)
_GOOD = make_check("arrivals", kind="gate", used=0.99)


@pytest.mark.parametrize(
    ("checks", "outcome", "binding"),
    [
        ([_UNDECIDED, _BAD, _GATE, _GOOD], INVALID, "sender on time"),
        ([_UNDECIDED, _BAD, _GOOD], FAIL, "errors"),
        ([_UNDECIDED, _GOOD], INVALID, "p99"),
    ],
    ids=["a gate before what is bad", "what is bad before what is undecided", "undecided is no pass"],
)
def test_the_worst_check_decides(checks: list[Check], outcome: CheckOutcome, binding: str) -> None:
    """An invalid gate outranks a failed guard, which outranks an undecided one; each is a reason."""
    verdict = decide(checks)
    assert (verdict.outcome, verdict.binding) == (outcome, binding)
    assert len(verdict.reasons) == len(checks) - (_GOOD in checks)
    assert verdict.reasons[0].startswith(f"{binding}: ")


def test_a_pass_names_the_guard_that_came_closest() -> None:
    """A pass names the guard that came closest to its limit, and no gate."""
    verdict = decide([make_check("errors", used=0.2), make_check("p99", used=0.7), _GOOD])
    assert (verdict.outcome, verdict.binding, verdict.reasons) == (PASS, "p99", ())


def test_a_pass_without_a_matter_of_degree_names_none() -> None:
    """A pass whose guards have no degree names none."""
    assert decide([make_check("backlog", used=None), _GOOD]).binding is None


def test_a_caveat_decides_nothing() -> None:
    """A caveat does not change the verdict."""
    caveat = make_check("steady state", kind="caveat", outcome=CheckOutcome.INVALID)
    assert decide([caveat, _GOOD]).outcome is CheckOutcome.PASS
    assert decide([caveat, make_check("errors", outcome=CheckOutcome.FAIL)]).binding == "errors"
