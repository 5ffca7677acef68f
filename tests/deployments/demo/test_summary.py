import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from deployments.demo.demo_page import render
from deployments.demo.summary import Summary, cells, notes, summarize, table
from serve.base.routing import Routes
from serve.bundles.repository import read_model

_LATE = {
    "name": "sender on time",
    "outcome": "INVALID",
    "seen": "p99 of its lateness 7.30 ms",
    "wanted": "at most 2 ms: lower the rate, use more senders or a quieter machine, " + "and so on, " * 9,
}


def load_report(base: int, light: int) -> dict[str, Any]:
    """What `counterweight loadtest run --json` writes, as far as the demo reads it."""

    def row(requests: int) -> dict[str, Any]:
        found: dict[str, Any] = dict.fromkeys(("p50_ms", "p95_ms", "p99_ms", "cost"))
        if requests:
            found = {
                "p50_ms": {"value": 2.0, "low": 1.9, "high": 2.1},
                "p95_ms": {"value": 3.0, "low": 2.8, "high": 3.3},
                "p99_ms": {"value": 4.0, "low": 3.5, "high": None},
                "cost": {"model_s": 0.25, "gateway_s": 0.75, "proxy_s": 0.5, "client_s": 0.9},
            }
        return {
            "requests": requests,
            "errors": 0,
            "share_served": requests / (base + light),
            "curve": [[0.0, 1.0], [0.5, 2.0], [0.99, 4.0]] if requests else [],
            **found,
        }

    return {
        "plan": {"profile": [[0, 100], [20, 100]]},
        "requests": base + light,
        "errors": 0,
        "checks": [_LATE, {"name": "arrivals", "outcome": "PASS", "seen": "2,000 sent", "wanted": "2,000"}],
        "notes": ["no time to spare"],
        "variants": {"base": row(base), "light": row(light)},
    }


@pytest.fixture
def summary(module_repository: Path) -> Summary:
    return summarize(
        read_model(module_repository / "linear"),
        Routes(model="linear", baseline="base", weights={"base": 90, "light": 10}),
        load_report(1800, 0),
        load_report(500, 500),
    )


def test_a_row_holds_quality_traffic_and_cost(summary: Summary) -> None:
    """One row per servable variant, the baseline first; the rejected one is not there."""
    assert [row.variant for row in summary.variants] == ["base", "light"]
    base = summary.variants[0]
    assert (base.share_asked, base.share_served, base.requests) == (0.9, 1.0, 1800)
    assert base.p95_ms is not None
    assert base.cpu_per_request is not None
    assert (base.accuracy, base.p95_ms.value, base.cpu_per_request.total_ms) == (0.9, 3.0, 1.5)


def test_a_variant_without_traffic_has_dashes(summary: Summary) -> None:
    """A latency that nobody measured is not printed as a number; what a request costs is known from the run
    in which all were asked."""
    light = next(line for line in table(summary).splitlines() if line.startswith("light"))
    assert light.split()[-4:] == ["-", "-", "-", "1.50"]


def test_the_table_fits_beside_itself(summary: Summary) -> None:
    """At most 120 columns, however much there is to say."""
    assert max(map(len, table(summary).splitlines())) <= 120


def test_what_takes_trust_from_a_figure_stands_under_the_table(summary: Summary) -> None:
    """Checks that did not pass, and no others; the load test's own notes; where the CPU time went."""
    said = notes(summary)
    assert any(note.startswith("!  sender on time: p99 of its lateness 7.30 ms; wanted: at") for note in said)
    assert "!  no time to spare" in said
    assert not any("arrivals" in note for note in said)
    assert said[-1].startswith("CPU ms/request, all asked in turn: 0.75 gateway; ")
    assert said[-1].endswith(": base 0.25 + 0.50, light 0.25 + 0.50")


@pytest.mark.parametrize(("requests", "mark"), [(999, "~4.00"), (1000, "4.00")])
def test_a_thin_p99_is_marked(module_repository: Path, requests: int, mark: str) -> None:
    """With less than ten answers beyond it, and a note says as much as can be said."""
    report = load_report(requests, 0)
    routes = Routes(model="linear", baseline="base", weights={"base": 1})
    summary = summarize(read_model(module_repository / "linear"), routes, report, report)
    assert cells(summary)[1][-2] == mark
    said = "999 answers of base say no more of its p99 than that it is above 3.50 ms"
    assert (f"~  {said}" in notes(summary)) == (requests == 999)


def test_the_summary_survives_json(summary: Summary) -> None:
    """What is written can be read back by the documented schema."""
    assert Summary.model_validate(json.loads(summary.model_dump_json())) == summary


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(summary: Summary) -> None:
    """Three pictures, every row, and no address that a browser would load."""
    page = render(summary)
    HTMLParser().feed(page)
    assert page.count("<svg") == 3
    assert page.count("<td>light</td>") == 1
    assert not re.search(r"""(src|href)=["'](?!#)""", re.sub(r'xlink:href="#', "", page))
    assert "@import" not in page


def test_the_page_escapes_what_it_shows(summary: Summary) -> None:
    """A note is text, not markup."""
    hostile = dict(summary.split) | {"notes": ["<script>alert(1)</script>"]}
    assert "<script>" not in render(summary.model_copy(update={"split": hostile}))
