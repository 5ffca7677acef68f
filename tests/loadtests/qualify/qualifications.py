"""Qualifications with invented figures: one for each outcome, and unusual ones."""

from typing import Any

from loadtests.judging.limits import Limits
from loadtests.load_verdict import CheckOutcome
from loadtests.qualify.qualification_record import (
    Name,
    QualificationRecord,
    StageRecord,
    conclude,
    make_stage,
)
from tests.loadtests.reports import HOSTILE, make_check, make_hostile, make_report

_GOOD = (
    make_stage(
        "quality", [make_check("quality floor", seen="accuracy 0.9933", wanted="accepted", used=None)]
    ),
    make_stage("capacity", [make_check("capacity ratio", seen="1.80x", used=0.53)], make_report("capacity")),
    make_stage("shadow", [make_check("agreement", seen="2 of 2,000 pairs differ", used=0.2)]),
    make_stage("canary", [make_check("p99 of slim-int8", used=0.82)], make_report("run")),
)


def stage(name: Name, *outcomes: CheckOutcome) -> StageRecord:
    """A stage with one guard for each outcome."""
    return make_stage(name, [make_check(f"guard {n}", outcome=o, used=n) for n, o in enumerate(outcomes)])


def make_found(*stages: StageRecord, complete: bool = True, **changes: Any) -> QualificationRecord:
    """Return the qualification of these stages; none: four good ones."""
    stages = stages or _GOOD
    outcome, binding, reasons = conclude(stages, complete=complete)
    fields: dict[str, Any] = {
        "started_at": "2026-11-22T18:30:00+00:00",
        "command": ("counterweight", "qualify", "digits", "--to", "slim-int8"),
        "url": "http://127.0.0.1:8000",
        "model": "digits",
        "baseline": "fp32",
        "candidate": "slim-int8",
        "digests": {"fp32": "a" * 64, "slim-int8": "b" * 64},
        "limits": Limits(p99_ms=50),
        "complete": complete,
        "outcome": outcome,
        "binding": binding,
        "reasons": reasons,
        "stages": stages,
    }
    return QualificationRecord(**(fields | changes))


def make_strange() -> QualificationRecord:
    """Return a qualification in which each text of the server is hostile."""
    check = make_check(HOSTILE, outcome=CheckOutcome.FAIL, seen=HOSTILE, wanted=HOSTILE)
    stages = (make_stage("shadow", [check]), make_stage("canary", [check], make_hostile("run")))
    digests = {HOSTILE: HOSTILE}
    return make_found(*stages, model=HOSTILE, baseline=HOSTILE, candidate=HOSTILE, digests=digests)
