import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from deployments.demo.cpu import CpuCost
from deployments.demo.page import render
from deployments.demo.summary import Summary, summarize, table
from serve.repository import read_model
from serve.routing import Routes


def load_report(base: int, light: int) -> dict[str, Any]:
    """What `counterweight loadtest run --json` prints, as far as the demo reads it."""

    def row(requests: int) -> dict[str, Any]:
        measured = (
            {"p50_ms": 2.0, "p95_ms": 3.0, "p99_ms": 4.0}
            if requests
            else dict.fromkeys(("p50_ms", "p95_ms", "p99_ms"))
        )
        curve = [[0.0, 1.0], [0.5, 2.0], [0.99, 4.0]] if requests else []
        return {
            "requests": requests,
            "errors": 0,
            "share_served": requests / (base + light),
            "curve": curve,
            **measured,
        }

    variants = {"base": row(base), "light": row(light)}
    return {
        "requests": base + light,
        "errors": 0,
        "rate_per_s": 100.0,
        "warnings": ["the sender was late"],
        "variants": variants,
    }


@pytest.fixture
def summary(module_repository: Path) -> Summary:
    return summarize(
        read_model(module_repository / "linear"),
        Routes(model="linear", baseline="base", weights={"base": 90, "light": 10}),
        CpuCost(variants={"linear:base": 1.5}, gateway=0.5, ray_per_s=90),
        load_report(1800, 0),
        load_report(500, 500),
    )


def test_a_row_holds_quality_traffic_and_cost(summary: Summary) -> None:
    """One row per servable variant, the baseline first; the rejected one is not there."""
    assert [row.variant for row in summary.variants] == ["base", "light"]
    base = summary.variants[0]
    assert (base.share_asked, base.share_served, base.requests) == (0.9, 1.0, 1800)
    assert (base.accuracy, base.p95_ms, base.cpu_ms_per_request) == (0.9, 3.0, 1.5)


def test_a_variant_without_traffic_has_dashes(summary: Summary) -> None:
    """A latency that nobody measured is not printed as a number."""
    light = next(line for line in table(summary).splitlines() if line.startswith("light"))
    assert light.split()[-4:] == ["-"] * 4


def test_the_table_fits_beside_itself_and_shows_the_warnings(summary: Summary) -> None:
    """At most 120 columns, and what takes trust from a figure stands under it."""
    lines = table(summary).splitlines()
    assert max(map(len, lines)) <= 120
    assert "!  the sender was late" in lines


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
    """A warning is text, not markup."""
    hostile = dict(summary.split) | {"warnings": ["<script>alert(1)</script>"]}
    assert "<script>" not in render(summary.model_copy(update={"split": hostile}))
