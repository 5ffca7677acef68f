import pytest

from loadtests.judging.limits import Limits
from loadtests.load_plan import LoadPlan
from loadtests.load_verdict import Check, CheckOutcome, LoadVerdict
from loadtests.render.report_table import table
from loadtests.report import Kind, LoadReport
from loadtests.variant_report import Interval
from tests.loadtests.reports import (
    HOSTILE,
    make_check,
    make_failed,
    make_hostile,
    make_invalid,
    make_report,
    make_silent,
    make_variant,
)


def _row(text: str, name: str) -> list[str]:
    """The cells of the first row that begins with `name`."""
    return next(line.split() for line in text.splitlines() if line.startswith(name))


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (
            make_report(),
            "PASS: closest to its limit: p99 of fp32, 82 % used: 0.4 % over 50 ms [0.2, 0.7]; "
            "wanted: at most 1 % over 50 ms",
        ),
        (make_failed(), "FAIL: p99 of slim-int8: 1.8 % over 50 ms [1.2, 2.6], 1 % allowed"),
        (
            make_invalid(),
            "INVALID: sender late: lateness p99 7.3 ms, at most 2.0 ms: lower the rate or use a quieter "
            "machine (and 1 more)",
        ),
    ],
)
def test_the_verdict_comes_first(report: LoadReport, line: str) -> None:
    """The first line has the verdict with its first reason, or the check closest to its limit."""
    assert table(report).splitlines()[0] == line


@pytest.mark.parametrize(
    ("checks", "why"), [((), "there were no checks"), ((make_check(),), "the only check held")]
)
def test_a_pass_that_nothing_binds_says_so(checks: tuple[Check, ...], why: str) -> None:
    """A pass without a binding check says so."""
    verdict = LoadVerdict(outcome=CheckOutcome.PASS, reasons=(), binding=None)
    assert table(make_report(checks=checks, verdict=verdict)).startswith(f"PASS: {why}\n")


def test_the_headline_says_what_was_sent() -> None:
    """The second line has the kind, the model, the address, the load and the seed."""
    line = table(make_report("compare")).splitlines()[1]
    assert line == "compare: digits at http://127.0.0.1:8000: 100/s for 60 s, seed 0"


def test_a_profile_is_told_by_its_points() -> None:
    """A profile is written with its points and its average."""
    plan = LoadPlan(url="http://h", model="m", profile=((0, 50), (10, 50), (10, 150), (20, 150)))
    said = "100/s on average for 20 s (50/s at 0 s, 50/s at 10 s, 150/s at 10 s, 150/s at 20 s), seed 0"
    assert said in table(make_report(plan=plan))


def test_a_run_that_was_ended_early_says_so() -> None:
    """The line of an incomplete run says that it ended early."""
    assert table(make_invalid()).splitlines()[1].endswith("seed 0 (ended early)")
    assert "ended early" not in table(make_report())


def test_a_variant_is_a_row() -> None:
    """The row of a variant has requests, errors, share, latencies, the p99's interval and the late ones."""
    cells = _row(table(make_report()), "fp32")
    assert cells == [
        "fp32",
        "3,000",
        "0",
        "50.0",
        "9.70",
        "8.20",
        "18.10",
        "35.40",
        "[30.09,",
        "40.71]",
        "12",
    ]


def test_a_variant_without_an_answer_has_no_figures() -> None:
    """A variant without an answer has dashes."""
    report = make_report(variants={"int8": make_silent(), "unknown": make_silent(3)})
    assert _row(table(report), "int8") == ["int8", "40", "40", "0.0", *"------"]
    assert _row(table(report), "unknown")[1:3] == ["3", "3"]


@pytest.mark.parametrize(("requests", "marked"), [(999, True), (1000, False)])
def test_a_thin_p99_is_marked(requests: int, marked: bool) -> None:
    """A p99 of fewer than 1,000 answers has a tilde, and a line that says why."""
    text = table(make_report(variants={"fp32": make_variant(requests)}))
    assert ("~35.40" in text) == marked
    assert ("\n~ the p99 of fp32 (999) rests on fewer than 1,000 answers" in text) == marked


def test_a_bound_that_no_sample_gives_is_a_question() -> None:
    """A missing bound of an interval is written as `?`."""
    thin = make_variant(400, p99_ms=Interval(value=30, low=25, high=None))
    assert "[25.00, ?]" in table(make_report(variants={"fp32": thin}))


def test_without_a_limit_nothing_is_over_it() -> None:
    """Without a limit the column is omitted."""
    assert "over 50 ms" not in table(make_report(limits=Limits(), checks=()))


def test_a_comparison_stands_side_by_side() -> None:
    """A comparison has baseline, candidate, ratio, interval and a word for the result."""
    text = table(make_report("compare"))
    assert _row(text, "p50 ms") == ["p50", "ms", "8.20", "7.63", "0.930", "[0.905,", "0.958]", "faster"]
    assert _row(text, "p99 ms")[-3:] == ["no", "difference", "shown"]


def test_a_slower_candidate_is_called_slower() -> None:
    """A ratio whose interval lies above 1 is called slower."""
    report = make_report("compare")
    ratio = report.comparisons[0].ratios[0].model_copy(update={"value": 1.1, "low": 1.04, "high": 1.2})
    comparison = report.comparisons[0].model_copy(update={"ratios": (ratio,)})
    text = table(report.model_copy(update={"comparisons": (comparison,)}))
    assert _row(text, "p50 ms")[-1] == "slower"


def test_rates_carry_the_odds_of_the_sequential_test() -> None:
    """Rates have their odds beside the needed ones; without events there is no ratio."""
    text = table(make_report("compare"))
    assert "30 of 20.1  shown safe" in text
    assert _row(text, "errors")[-10:] == ["-", "-", "1", "of", "200", "1", "of", "20.1", "not", "decided"]
    assert "0 of 3,000 against 0 of 3,000" in text


def test_overwhelming_odds_are_not_counted_out() -> None:
    """Odds above the largest float, such as e^2000, are shown as very large."""
    report = make_report("compare")
    weighed = report.comparisons[0].weighed[1].model_copy(update={"harm": 2000})
    comparison = report.comparisons[0].model_copy(update={"weighed": (weighed,)})
    text = table(report.model_copy(update={"comparisons": (comparison,)}))
    assert "over a million of 200" in text
    assert "harm shown" in text


def test_a_capacity_is_a_row() -> None:
    """The row of a capacity has the rate, its ratio, the confirmations and the failed rate with its
    reason."""
    cells = _row(table(make_report("capacity")), "slim-int8")
    assert cells[:9] == ["slim-int8", "418", "1.80x", "3", "of", "3", "432", "smooth", "2.11"]
    assert "1.6 % over 50 ms [1.1, 2.3]" in table(make_report("capacity"))


def test_no_capacity_is_a_dash() -> None:
    """A capacity that was not found, and a missing failed rate, are dashes."""
    report = make_report("capacity")
    none = report.capacities["fp32"].model_copy(update={"rate_per_s": None, "boundary": None, "cost": None})
    all_ = report.capacities["slim-int8"].model_copy(update={"infeasible_per_s": None, "first_breach": None})
    text = table(report.model_copy(update={"capacities": {"fp32": none, "slim-int8": all_}}))
    assert _row(text, "fp32")[:3] == ["fp32", "-", "-"]
    assert _row(text, "slim-int8")[1:7] == ["418", "-", "3", "of", "3", "-"]


def test_a_soak_compares_its_thirds() -> None:
    """A soak compares the medians of its first and last thirds."""
    text = table(make_report("soak"))
    assert _row(text, "fp32 p50")[-4:] == ["8.10", "8.50", "+4.9", "%"]
    assert _row(text, "memory")[-4:] == ["514", "524", "+1.9", "%"]


def test_a_cost_is_split() -> None:
    """A cost is split into model, gateway, proxy, server, load generator and price per million."""
    cells = ["fp32", "0.420", "1.100", "0.900", "2.420", "1.400", "0.034"]
    assert cells in [line.split() for line in table(make_report()).splitlines()]
    assert "What a request costs" not in table(make_report(variants={"fp32": make_variant()}))


def test_what_did_not_hold_is_listed() -> None:
    """The table lists only the checks that did not pass, with what was seen and wanted."""
    lines = table(make_invalid()).splitlines()
    assert "INVALID gate sender on time: lateness p99 7.3 ms; wanted: at most 2.0 ms" in lines
    assert "arrivals on schedule" not in table(make_invalid())


def test_the_sender_gives_account_of_itself() -> None:
    """The sender's line has its lateness, its CPU share, the requests in flight and the steal share."""
    assert (
        "sender: lateness p50 0.12 ms, p99 0.90 ms, max 3.10 ms; 12 % of one core; at most 31 in flight; "
        "0.3 % of the machine's CPU time went to other guests"
    ) in table(make_report())
    full = make_report().sender.model_copy(update={"pool_full": 7, "lateness_p50_ms": None})
    assert "p50 - ms" in table(make_report(sender=full))
    assert "had to wait for room 7 times" in table(make_report(sender=full))


def test_causes_are_told_by_how_often() -> None:
    """The ten most frequent causes have lines of their own, and the others share one."""
    causes = {f"cause {number}": number for number in range(1, 13)}
    lines = [line for line in table(make_report(errors_by_cause=causes)).splitlines() if "error: " in line]
    assert lines[0] == "error: 12 x cause 12"
    assert lines[-1].startswith("error: 3 x 2 other causes")
    assert len(lines) == 11


def test_notes_come_last() -> None:
    """The last lines are the notes."""
    assert table(make_report(notes=("no cost: /metrics is closed",))).endswith(
        "\nnote: no cost: /metrics is closed"
    )


@pytest.mark.parametrize("kind", ["run", "compare", "capacity"])
def test_a_server_cannot_steer_the_terminal(kind: Kind) -> None:
    """Text from a server is printed without control characters and starts no line of its own."""
    text = table(make_hostile(kind))
    assert all(letter.isprintable() for letter in text.replace("\n", ""))
    assert "\\x1b[2J\\x00\\x9b\\u202e" in text
    assert not any(line.startswith("# `c`") for line in text.splitlines())


def test_endless_causes_are_cut() -> None:
    """Long causes of errors are cut."""
    text = table(make_report(errors_by_cause={HOSTILE * 10_000: 1}))
    assert len(text) < 3000
