"""Qualification: the one record of all that was found of a candidate, and what it comes to."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from loadtests.judging.checks import decide
from loadtests.judging.limits import Limits
from loadtests.report import Check, CheckOutcome, LoadReport
from serve.base.record import Record
from serve.rollout.trail.qualification import QualificationOutcome

Name = Literal["quality", "capacity", "shadow", "canary"]


class StageRecord(Record):
    """One link of the chain."""

    name: Name
    outcome: CheckOutcome
    # Every check that did not pass, in words.
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    # The load test that it rests on; None: it needs none, or shares the next one's.
    report: LoadReport | None = None


class QualificationRecord(Record):
    """What `counterweight qualify` writes, schema version 1."""

    schema_version: Literal[1] = 1
    started_at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")]
    # The words of the command line that started it.
    command: tuple[str, ...] = ()
    url: str
    model: str
    baseline: str
    candidate: str
    # Of both bundles, as they are served: what was found holds for these versions.
    digests: Mapping[str, str]
    limits: Limits
    # False: it was ended early, and what is missing is not judged.
    complete: bool
    outcome: QualificationOutcome
    # The stage and the check that decided: the first that did not pass, or the one that came closest.
    binding: str | None
    reasons: tuple[str, ...]
    stages: tuple[StageRecord, ...]


def make_stage(
    name: Name,
    checks: Sequence[Check],
    report: LoadReport | None = None,
) -> StageRecord:
    """The stage that these checks come to."""
    verdict = decide(checks)
    return StageRecord(
        name=name, outcome=verdict.outcome, reasons=verdict.reasons, checks=tuple(checks), report=report
    )


def conclude(
    stages: Sequence[StageRecord], *, complete: bool
) -> tuple[QualificationOutcome, str | None, tuple[str, ...]]:
    """What the stages come to, the check that decided, and every reason.

    One stage that failed soundly is enough for a no, whatever became of the others."""
    by_outcome = {
        outcome: [stage for stage in stages if stage.outcome is outcome] for outcome in CheckOutcome
    }
    # What is bad before what is undecided.
    worst = sorted(stages, key=lambda stage: stage.outcome is not CheckOutcome.FAIL)
    reasons = tuple(f"{stage.name}: {reason}" for stage in worst for reason in stage.reasons)
    if failed := by_outcome[CheckOutcome.FAIL]:
        return QualificationOutcome.NOT_QUALIFIED, _binding(failed), reasons
    if invalid := by_outcome[CheckOutcome.INVALID]:
        return QualificationOutcome.INVALID, _binding(invalid), reasons
    if not complete or len(stages) < 4:
        return QualificationOutcome.INVALID, None, ("it was ended early",)
    return QualificationOutcome.QUALIFIED, _binding(stages), ()


def _binding(stages: Sequence[StageRecord]) -> str | None:
    bad = [
        (stage, check)
        for stage in stages
        for check in stage.checks
        if check.outcome is stage.outcome is not CheckOutcome.PASS
    ]
    degrees = [
        (stage, check)
        for stage in stages
        for check in stage.checks
        if check.kind == "guard" and check.used is not None
    ]
    if bad:
        stage, check = bad[0]
    elif degrees:
        stage, check = max(degrees, key=lambda pair: pair[1].used or 0.0)
    else:
        return None
    return f"{stage.name}: {check.name}"
