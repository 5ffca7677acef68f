import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from deployments.demo.demo_page import render
from deployments.demo.demo_table import cells, headlines, notes, table, what_to_trust
from deployments.demo.summary import Summary
from serve.rollout.state.rollout import Phase
from tests.deployments.demo.demo_runs import load_of, run_of, story


@pytest.fixture(scope="module")
def summary() -> Summary:
    return run_of()


def test_a_row_holds_quality_requests_and_cost(summary: Summary) -> None:
    """The summary has one row per servable variant with quality, requests and cost, the baseline first."""
    assert [row.variant for row in summary.variants] == ["base", "light"]
    base = summary.variants[0]
    assert base.p95_ms is not None
    assert base.cpu_per_request is not None
    assert (base.accuracy, base.requests, base.p95_ms.value) == (0.9, 500, 3.0)
    assert base.cpu_per_request.total_ms == 0.25 + 0.75 + 0.5


def test_the_ratio_counts_all_processes() -> None:
    """The ratio of the costs is 9.25 ms of all processes to 1.5 ms."""
    slow = run_of(base=load_of(500, model_s=8.0))
    assert slow.cpu_ratio == pytest.approx((8 + 0.75 + 0.5) / 1.5)
    assert cells(slow)[2][-1] == "6.2"
    assert headlines(slow)[0][0] == "6.2x"


def test_a_cost_that_nobody_measured_is_a_dash() -> None:
    """A cost that was not measured is shown as a dash."""
    silent = run_of(base=load_of(500) | {"cost": None})
    assert cells(silent)[1][-3:] == ["-", "-", "-"]
    assert headlines(silent)[0][0] == "-"


def test_the_headlines_say_when_the_bad_candidate_was_stopped(summary: Summary) -> None:
    """The headline gives no bad answers and the number of shadow copies before the rollback."""
    figure, words = headlines(summary)[2]
    assert figure == "0"
    assert "was stopped after 120 shadow copies" in words


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"base": load_of(500) | {"errors": 2}}, "2 requests failed"),
        ({"good": story("light", Phase.INCONCLUSIVE)}, "the rollout to light ended INCONCLUSIVE"),
        ({"bad": story("mixed-up", Phase.DONE)}, "the rollout to mixed-up ended DONE"),
        (
            {"bad": story("mixed-up", Phase.ROLLED_BACK, share=0.1)},
            "the rollout to mixed-up ended ROLLED_BACK",
        ),
        ({"bad_answers": 3}, "mixed-up answered 3 requests"),
    ],
)
def test_what_did_not_come_out_is_a_fault(changes: dict[str, Any], fault: str) -> None:
    """A result that differs from the expected one is a fault in the summary, the table and the page."""
    summary = run_of(**changes)
    assert [found[: len(fault)] for found in summary.faults] == [fault]
    assert fault in " ".join(table(summary).split())
    assert fault in render(summary)


def test_a_run_that_came_out_has_no_faults(summary: Summary) -> None:
    """A successful run has no faults."""
    assert summary.faults == ()


def test_the_table_fits_a_terminal() -> None:
    """The table is at most 110 columns wide, even with notes."""
    assert max(map(len, table(run_of(outcome="INVALID")).splitlines())) <= 110


def test_what_takes_trust_from_a_figure_stands_under_the_table() -> None:
    """The notes have the checks that did not pass, and say which figures not to trust."""
    busy = run_of(outcome="INVALID")
    said = notes(busy)
    assert any(note.startswith("!  sender on time: p99 of its lateness 7.30 ms; wanted: at") for note in said)
    assert "!  no time to spare" in said
    assert not any("arrivals" in note for note in said)
    assert "do not trust p50 and p95" in what_to_trust(busy)
    assert what_to_trust(busy) in render(busy)


def test_a_quiet_machine_needs_no_warning(summary: Summary) -> None:
    """If all checks pass, there is no warning."""
    assert what_to_trust(summary) == ""


def test_the_summary_survives_json(summary: Summary) -> None:
    """The summary is the same after a round trip through JSON."""
    assert Summary.model_validate(json.loads(summary.model_dump_json())) == summary


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(summary: Summary) -> None:
    """The page has five pictures, every row and every move, and loads nothing from other addresses."""
    page = render(summary)
    HTMLParser().feed(page)
    assert page.count("<svg") == 5
    assert page.count("<td>light</td>") == 1
    assert page.count("<li>") == sum(len(rollout.moves) for rollout in summary.rollouts)
    assert not re.search(r"""(src|href)=["'](?!#)""", re.sub(r'xlink:href="#', "", page))
    assert "@import" not in page


def test_the_page_escapes_what_it_shows(summary: Summary) -> None:
    """A note is text, not markup."""
    hostile = dict(summary.compared) | {"notes": ["<script>alert(1)</script>"]}
    assert "<script>" not in render(summary.model_copy(update={"compared": hostile}))
