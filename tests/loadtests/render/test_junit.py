import re
from xml.etree.ElementTree import Element, fromstring

import pytest

from loadtests.load_verdict import CheckOutcome, LoadVerdict
from loadtests.render.junit import junit
from loadtests.report import Kind, LoadReport
from tests.loadtests.reports import make_failed, make_hostile, make_invalid, make_report

ALL = [make_report(kind) for kind in ("run", "compare", "capacity", "soak")]


def _suite(report: LoadReport) -> Element:
    suite = fromstring(junit(report)).find("testsuite")
    assert suite is not None
    return suite


def test_a_check_is_a_case() -> None:
    """Each check is a test case, named by kind, model, and gate or guard."""
    cases = _suite(make_report("compare")).findall("testcase")
    assert [(case.get("classname"), case.get("name")) for case in cases] == [
        ("counterweight.compare.digits.gate", "sender on time"),
        ("counterweight.compare.digits.gate", "arrivals on schedule"),
        ("counterweight.compare.digits.gate", "no room lacked"),
        ("counterweight.compare.digits.guard", "p99 of fp32"),
    ]
    assert not any(len(case) for case in cases)


def test_a_fail_is_a_failure() -> None:
    """A failed check is a failure, with the measured value and the condition."""
    suite = _suite(make_failed())
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("5", "1", "0")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == (
        "p99 of slim-int8: 1.8 % over 50 ms [1.2, 2.6]; wanted: at most 1 % over 50 ms"
    )


def test_an_invalid_is_an_error() -> None:
    """A check that is INVALID is an error and not a failure."""
    suite = _suite(make_invalid())
    assert (suite.get("failures"), suite.get("errors")) == ("0", "2")
    assert [error.get("type") for error in suite.findall("testcase/error")] == [
        "gate.INVALID",
        "guard.INVALID",
    ]


def test_a_verdict_that_no_check_shows_is_a_case() -> None:
    """A verdict that no check explains is a test case of its own."""
    verdict = LoadVerdict(outcome=CheckOutcome.INVALID, reasons=("ended early",), binding=None)
    suite = _suite(make_report(verdict=verdict))
    case = suite.findall("testcase")[-1]
    assert case.get("name") == "verdict"
    assert case.find("error") is not None
    assert suite.get("errors") == "1"


def test_properties_say_what_to_repeat() -> None:
    """The properties have the seed, the address, the model and the steal share."""
    properties = {item.get("name"): item.get("value") for item in _suite(make_report()).iter("property")}
    assert properties == {
        "seed": "0",
        "url": "http://127.0.0.1:8000",
        "model": "digits",
        "steal": "0.003",
        "verdict": "PASS",
        "complete": "true",
    }


@pytest.mark.parametrize(("kind", "seconds"), [("run", 60), ("soak", 600), ("capacity", 23 * 20)])
def test_the_time_is_what_was_measured(kind: Kind, seconds: float) -> None:
    """The time is the measured one; for a search it is that of all probes."""
    assert float(_suite(make_report(kind)).get("time", "")) == seconds


@pytest.mark.parametrize("report", [*ALL, make_failed(), make_invalid(), make_hostile()])
def test_it_keeps_the_usual_schema(report: LoadReport) -> None:
    """The elements and attributes follow the JUnit schema of Ant."""
    suite = _suite(report)
    order = [child.tag for child in suite]
    cases = len(suite.findall("testcase"))
    assert order == ["properties", *["testcase"] * cases, "system-out", "system-err"]
    wanted = {"id", "package", "name", "timestamp", "hostname", "tests", "failures", "errors", "time"}
    assert set(suite.attrib) == wanted
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp", ""))
    for case in suite.iter("testcase"):
        assert set(case.attrib) == {"classname", "name", "time"}
        assert [child.tag for child in case] in ([], ["failure"], ["error"])
        assert all(set(child.attrib) == {"message", "type"} for child in case)


@pytest.mark.parametrize("kind", ["run", "compare", "capacity"])
def test_a_server_cannot_break_the_xml(kind: Kind) -> None:
    """Characters that XML forbids are escaped, and the XML is valid."""
    failure = _suite(make_hostile(kind)).find("testcase/failure")
    assert failure is not None
    assert "<script>alert(1)</script>" in failure.get("message", "")
    assert "\\x00\\x9b\\u202e\\ufffe ]]>" in (failure.text or "")
