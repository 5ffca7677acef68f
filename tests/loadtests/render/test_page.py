import re
from functools import cache
from html.parser import HTMLParser

import pytest

from loadtests.judging.limits import Limits
from loadtests.load_verdict import CheckOutcome, LoadVerdict
from loadtests.render.page import page
from loadtests.report import Kind, LoadReport
from tests.loadtests.reports import (
    make_failed,
    make_hostile,
    make_invalid,
    make_report,
    make_silent,
    make_variant,
)

KINDS: tuple[Kind, ...] = ("run", "compare", "capacity", "soak")


class _Reader(HTMLParser):
    """What a reader sees: the text, the tags, and the labels of pictures."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.labels: list[str] = []
        self.words: list[str] = []
        self.feed(source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.labels += [value or "" for name, value in attrs if name == "aria-label"]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@cache
def _page(kind: Kind) -> str:
    """Drawn once: a page takes a third of a second."""
    return page(make_report(kind))


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (make_report(), r"PASS The measurements can be trusted.*\. Closest to its limit"),
        (make_failed(), r"FAIL The measurements can be trusted.*\. p99 of slim-int8: 1\.8 %"),
        (make_invalid(), r"INVALID The measurements cannot be trusted\."),
    ],
)
def test_the_verdict_is_a_sentence_with_its_reasons(report: LoadReport, words: str) -> None:
    """The page explains the verdict and gives the reasons."""
    assert re.search(words, _Reader(page(report)).text)


def test_what_decided_is_named() -> None:
    """The page names the check that decided and the share of the limit that it used."""
    assert "sender on time, 365 % of" in _Reader(page(make_invalid())).text


def test_an_open_guard_is_no_broken_gate() -> None:
    """An undecided guard does not make the measurements untrustworthy."""
    report = make_invalid()
    sound = report.model_copy(update={"checks": report.checks[1:]})
    assert "cannot be trusted" not in _Reader(page(sound)).text


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("run", ["Latency by percentile", "CPU time for a request", "What happened when"]),
        (
            "compare",
            ["Ratio of latencies", "Latency by percentile", "CPU time for a request", "What happened when"],
        ),
        ("capacity", ["Throughput against latency", "CPU time for a request"]),
        ("soak", ["Latency by percentile", "CPU time for a request", "What happened when"]),
    ],
)
def test_each_kind_has_its_pictures(kind: Kind, labels: list[str]) -> None:
    """Every chart of the kind is in the page, with a label and a caption."""
    reader = _Reader(_page(kind))
    assert [label.split(".")[0].split(",")[0] for label in reader.labels] == labels
    assert reader.tags.count("figcaption") == len(labels)


def test_pictures_say_their_figures_in_words() -> None:
    """The label of a chart contains its numbers, for readers who cannot see it."""
    labels = _Reader(_page("compare")).labels
    assert "slim-int8 p50 0.930 [0.905, 0.958], faster" in labels[0]
    assert "fp32: p50 8.20 ms, p95 18.10 ms, p99 35.40 ms" in labels[1]
    assert "Capacity of fp32: 232 per second; slim-int8: 418" in _Reader(_page("capacity")).labels[0]


@pytest.mark.parametrize(
    ("kind", "finding"),
    [
        ("run", "at most 8.20 ms, 99 of 100 requests took at most 35.40 ms"),
        ("compare", "slim-int8 is faster than fp32: latency -7.0 % [-9.5, -4.2]."),
        ("compare", "At the p99 slim-int8 shows no difference: latency -7.0 % [-19.8, +7.8]."),
        ("compare", "A request to slim-int8 costs the server 2.11 ms of CPU, 13 % less than one to fp32."),
        (
            "capacity",
            "418 requests per second within the limits, 1.80 times as many as fp32;",
        ),
    ],
)
def test_what_was_found_is_said_in_sentences(kind: Kind, finding: str) -> None:
    """The page states its main results in sentences with numbers."""
    assert finding in _Reader(_page(kind)).text


def test_every_check_is_shown_with_its_use() -> None:
    """Every check is on the page with the share of its limit, whether it passed or not."""
    text = _Reader(_page("run")).text
    assert "sender on time lateness p99 0.9 ms wanted: at most 2.0 ms 45 % used" in text
    assert "p99 of fp32 0.4 % over 50 ms [0.2, 0.7] wanted: at most 1 % over 50 ms 82 % used" in text


def test_a_bar_never_leaves_its_frame() -> None:
    """A bar for 365 % of the limit is 100 % wide."""
    assert re.findall(r'<i style="width: ([\d.]+)%', page(make_invalid())) == ["100", "5.0"]


def test_it_says_how_to_do_it_again() -> None:
    """The page has the plan, the seed, the machine, the limits and the command to repeat the run."""
    text = _Reader(_page("run")).text
    assert "seed 0" in text
    assert "A processor, 2 cores" in text
    assert "at most 1 % errors, 50 ms for 99 of 100 requests; a core for an hour is 0.05 USD" in text
    assert "counterweight loadtest run http://127.0.0.1:8000 --model digits" in text
    assert "To repeat" not in page(make_report(command=()))


@pytest.mark.parametrize("kind", KINDS)
def test_it_needs_nothing_from_elsewhere(kind: Kind) -> None:
    """The page has no script and loads nothing from other addresses."""
    source = _page(kind)
    assert not {"script", "link", "img", "iframe", "object", "image"} & set(_Reader(source).tags)
    assert "@import" not in source
    assert set(re.findall(r"url\(([^)]*)\)", source)) <= {
        f"#{name}" for name in re.findall(r'id="([^"]*)"', source)
    }
    assert all(name.startswith("#") for name in re.findall(r'href="([^"]*)"', source))


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_do_not_share_names(kind: Kind) -> None:
    """The ids to which pictures refer are unique on the page."""
    source = _page(kind)
    used = set(re.findall(r"url\(#([^)]*)\)", source)) | set(re.findall(r'href="#([^"]*)"', source))
    names = re.findall(r'id="([^"]*)"', source)
    assert used
    assert all(names.count(name) == 1 for name in used)


@pytest.mark.parametrize("kind", ["run", "compare", "capacity"])
def test_a_server_cannot_write_the_page(kind: Kind) -> None:
    """Text from a server is escaped, also in pictures and their labels."""
    reader = _Reader(page(make_hostile(kind)))
    assert "script" not in reader.tags
    assert "<script>alert(1)</script>" in reader.text
    assert all(letter.isprintable() for letter in reader.text)


def test_odd_reports_have_a_page() -> None:
    """A report without limits and answers has a page without pictures and guards."""
    nothing = LoadVerdict(outcome=CheckOutcome.PASS, reasons=(), binding=None)
    silent = {"int8": make_silent(), "unknown": make_silent(3)}
    source = page(
        make_report(
            variants=silent, limits=Limits(), timeline=None, checks=(), verdict=nothing, errors_by_cause={}
        )
    )
    assert "<figure>" not in source
    assert "40 of 40 requests failed." in source
    assert "Guards" not in source


def test_a_long_tail_is_told_to_stretch_the_axis() -> None:
    """With a stall of 1 s above a median of 8 ms, the caption says that the axis is logarithmic."""
    curve = (*make_variant().curve[:-1], (0.999, 1000.0))
    stalled = {"fp32": make_variant(curve=curve)}
    assert "logarithmic" in page(make_report(variants=stalled))
    assert "logarithmic" not in _page("run")


def test_a_search_without_an_answer_has_a_page() -> None:
    """A search whose probes have no p99 and that found no capacity still has a page."""
    report = make_report("capacity")
    probes = tuple(probe.model_copy(update={"p99_ms": None, "p50_ms": None}) for probe in report.probes)
    none = report.capacities["fp32"].model_copy(update={"rate_per_s": None, "cost": None})
    source = page(report.model_copy(update={"probes": probes, "capacities": {"fp32": none}}))
    assert "fp32: none of the rates" in source
    assert "<figure>" not in source


def test_one_window_is_enough_for_a_timeline() -> None:
    """A timeline of a single window is drawn and labelled."""
    line = make_report().timeline
    assert line is not None
    first = {"requests": (500,), "errors": (0,), "p50_ms": (8.0,), "p99_ms": (None,)}
    curve = line.variants["fp32"].model_copy(update=first)
    short = line.model_copy(update={"at_s": (10.0,), "in_flight": (6,), "variants": {"fp32": curve}})
    assert "in 1 window up to 10 s. 0 errors" in page(make_report(timeline=short))


def test_names_no_font_knows_are_left_to_the_browser() -> None:
    """A name that matplotlib's font lacks causes no warning and is in the page."""
    assert "数字" in page(
        make_report("capacity", capacities={"数字": make_report("capacity").capacities["fp32"]})
    )
