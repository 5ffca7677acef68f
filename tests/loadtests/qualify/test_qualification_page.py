from functools import cache
from html.parser import HTMLParser

import pytest

from loadtests.load_verdict import CheckOutcome
from loadtests.qualify.qualification_page import page
from loadtests.qualify.qualification_record import QualificationRecord
from tests.loadtests.qualify.qualifications import make_found, make_strange, stage

FAILED = make_found(stage("quality", CheckOutcome.PASS), stage("shadow", CheckOutcome.FAIL))
EARLY = make_found(stage("quality", CheckOutcome.PASS), complete=False)


class _Reader(HTMLParser):
    """The page as a reader sees it: its text, its tags and their references."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.places: list[str] = []
        self.words: list[str] = []
        self.feed(source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.places += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@cache
def _good() -> str:
    """Drawn once: a page takes a third of a second."""
    return page(make_found())


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (make_found(), "QUALIFIED Every stage shows"),
        (
            FAILED,
            "NOT QUALIFIED At least one stage shows",
        ),
        (EARLY, "INVALID The evidence does not suffice"),
    ],
    ids=["good", "failed", "early"],
)
def test_the_outcome_is_a_sentence_with_its_reasons(found: QualificationRecord, words: str) -> None:
    """The page states the outcome in a sentence with its reasons."""
    assert words in _Reader(page(found)).text


def test_what_decided_is_named() -> None:
    """The page names the check that decided, or the one that came closest to its limit."""
    assert "Closest to its limit: canary: p99 of slim-int8." in _Reader(_good()).text
    assert "What decided: shadow: guard 0." in _Reader(page(FAILED)).text


def test_what_was_asked_is_told() -> None:
    """The page lists each limit."""
    asked = "p99_ms 50, errors 0.01, rate_per_s 20, duration_s 60, agreement 0.98, capacity_ratio 1"
    assert asked in _Reader(_good()).text


def test_the_chain_shows_what_is_missing() -> None:
    """The page lists all four stages with their outcomes, including those that were not run."""
    text = _Reader(page(FAILED)).text
    assert "1. quality PASS 2. capacity not run 3. shadow FAIL 4. canary not" in text


def test_what_was_ended_early_says_so() -> None:
    """The page of a qualification that was ended early says so."""
    assert "The qualification was ended early." in _Reader(page(EARLY)).text


def test_the_load_tests_are_drawn() -> None:
    """The page has pictures of the load tests."""
    assert _Reader(_good()).tags.count("svg") >= 3


def test_the_page_is_one_file() -> None:
    """The page has no script and loads nothing from other addresses."""
    read = _Reader(_good())
    assert not {"script", "link", "img", "iframe"} & set(read.tags)
    assert [place for place in read.places if not place.startswith("#")] == []
    assert "@import" not in _good()


def test_a_server_cannot_write_on_the_page() -> None:
    """Text from a server is escaped."""
    read = _Reader(page(make_strange()))
    assert "script" not in read.tags
    assert "<script>alert(1)</script>" in read.text
