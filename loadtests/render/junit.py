"""Renders a report as JUnit XML, with a test case for each check."""

from collections import Counter
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from loadtests.load_verdict import Check, CheckOutcome
from loadtests.render.format import find_missed, make_plain, say_why
from loadtests.report import LoadReport


def junit(report: LoadReport) -> str:
    """Render the report.

    A FAIL is a failure. An INVALID is an error, because the measurement is wrong and not the server. A caveat
    that did not hold is a skipped case."""
    report = make_plain(report)
    plan = report.plan
    checks = _list_checks(report)
    counted = Counter(_verb(check) for check in checks)
    suites = Element("testsuites")
    suite = SubElement(
        suites,
        "testsuite",
        id="0",
        package="counterweight",
        name=f"counterweight.{report.kind}.{plan.model}",
        # The schema allows neither time zones nor fractions of a second.
        timestamp=report.started_at[:19],
        # The schema requires this value if the host is not known.
        hostname="localhost",
        tests=str(len(checks)),
        failures=str(counted["failure"]),
        errors=str(counted["error"]),
        time=f"{measured_s(report):.3f}",
    )
    properties = SubElement(suite, "properties")
    for name, value in _properties(report).items():
        SubElement(properties, "property", name=name, value=value)
    for check in checks:
        _add_case(suite, report, check)
    SubElement(suite, "system-out").text = f"{report.verdict.outcome.value}: {say_why(report)}"
    SubElement(suite, "system-err").text = "\n".join(report.notes)
    indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(suites, "unicode") + "\n"


def measured_s(report: LoadReport) -> float:
    """Return the duration of the measurement."""
    if report.probes:
        return sum(probe.duration_s for probe in report.probes)
    return report.timeline.at_s[-1] if report.timeline and report.timeline.at_s else report.plan.duration_s


def _list_checks(report: LoadReport) -> tuple[Check, ...]:
    """List the checks. If none of them shows the verdict, add it as a case, so that a CI system does not show
    success."""
    outcome = report.verdict.outcome
    if outcome is CheckOutcome.PASS or any(_verb(check) != "skipped" for check in find_missed(report)):
        return report.checks
    return (
        *report.checks,
        Check(name="verdict", kind="gate", outcome=outcome, seen=say_why(report), wanted="PASS"),
    )


def _properties(report: LoadReport) -> dict[str, str]:
    steal = report.environment.steal
    return {
        "seed": str(report.plan.seed),
        "url": report.plan.url,
        "model": report.plan.model,
        "steal": "unknown" if steal is None else f"{steal:g}",
        "verdict": report.verdict.outcome.value,
        "complete": str(report.complete).lower(),
    }


def _add_case(suite: Element, report: LoadReport, check: Check) -> None:
    classname = f"counterweight.{report.kind}.{report.plan.model}.{check.kind}"
    # The checks share one measurement, so the suite has the time.
    case = SubElement(suite, "testcase", classname=classname, name=check.name, time="0.000")
    verb = _verb(check)
    if verb is None:
        return
    message = f"{check.name}: {check.seen}; wanted: {check.wanted}"
    SubElement(case, verb, message=message, type=f"{check.kind}.{check.outcome.value}").text = message


def _verb(check: Check) -> str | None:
    """Return the JUnit element for the check's outcome; None if it passed."""
    if check.outcome is CheckOutcome.PASS:
        return None
    if check.kind == "caveat":
        return "skipped"
    return "failure" if check.outcome is CheckOutcome.FAIL else "error"
