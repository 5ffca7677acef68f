import re

import pytest
from markdown_it import MarkdownIt

from loadtests.render.markdown import markdown
from loadtests.report import Kind
from tests.loadtests.reports import make_failed, make_hostile, make_invalid, make_report


def _html(text: str) -> str:
    """Return the markdown as a forge renders it to HTML."""
    return str(MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(text))


def test_the_verdict_is_the_first_line() -> None:
    """The first line is the verdict; further reasons are a list below."""
    lines = markdown(make_invalid()).splitlines()
    assert lines[0].startswith("**INVALID**: sender late: lateness p99 7.3 ms")
    assert lines[2].startswith("- p99 of fp32: 0.9 % over 50 ms")


def test_a_comparison_has_the_columns_of_a_review() -> None:
    """The table has baseline, candidate, difference in per cent, interval and significance."""
    html = _html(markdown(make_report("compare")))
    heads = re.findall(r"<th[^>]*>(.*?)</th>", html)[:6]
    assert heads == ["latency", "fp32", "slim-int8", "difference", "99 % interval", "significant?"]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html)[:6]
    assert cells == ["p50 ms", "8.20", "7.63", "-7.0 %", "[-9.5, -4.2] %", "yes, faster"]


def test_an_interval_round_nothing_is_not_significant() -> None:
    """An interval that contains 0 is not significant."""
    assert "| [-19.8, +7.8] % | no |".replace("[", "\\[").replace("]", "\\]") in markdown(
        make_report("compare")
    )


def test_capacity_is_a_table_and_every_probe_is_folded() -> None:
    """The capacities are a table, and the probes are folded."""
    text = markdown(make_report("capacity"))
    shown, _, folded = text.partition("<details>")
    assert "| slim-int8 | 418 | 1.80x | 3 of 3 | 432 | smooth |" in shown
    assert folded.count("| confirm |") == 6
    assert folded.count("| UNDECIDED |") == 1


def test_gates_and_guards_are_folded() -> None:
    """Gates and guards are folded, with the number that passed."""
    html = _html(markdown(make_failed()))
    assert "<details><summary>Gates: can the measurements be trusted? 3 of 3 held</summary>" in html
    assert "<details><summary>Guards: does the model meet the limits? 1 of 2 held</summary>" in html
    assert html.count("</details>") == 2


def test_it_says_what_to_run_again_and_what_went_wrong() -> None:
    """The command and the causes of errors are in the comment as code."""
    text = markdown(make_report())
    assert "`counterweight loadtest run http://127.0.0.1:8000 --model digits`" in text
    assert "- error: 2 x `status 503: the queue is full`" in text
    assert "repeat" not in markdown(make_report(command=()))


@pytest.mark.parametrize("kind", ["run", "compare", "capacity"])
def test_a_server_cannot_write_the_comment(kind: Kind) -> None:
    """Text from a server makes no tag, link, heading or mention, and no additional cell."""
    text = markdown(make_hostile(kind))
    html = _html(text)
    assert "<script" not in html
    assert "<a " not in html
    assert "<h1" not in html
    outside = re.sub(r"<code>.*?</code>", "", html)
    assert "@admin" not in outside
    assert "://evil" not in outside
    for found in re.findall(r"<table>.*?</table>", html, re.DOTALL):
        rows = [len(re.findall(r"<t[hd]", row)) for row in found.split("<tr>")[1:]]
        assert len(set(rows)) == 1


@pytest.mark.parametrize("kind", ["run", "compare", "capacity", "soak"])
def test_what_is_shown_is_what_was_said(kind: Kind) -> None:
    """The rendered text has no escape characters."""
    html = _html(markdown(make_report(kind)))
    assert "\\" not in html
    assert "[0.2, 0.7]" in html
