"""Defines the record of a qualification, and concludes the outcome from its stages."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from loadtests.judging.checks import decide
from loadtests.judging.limits import Limits
from loadtests.load_verdict import Check, CheckOutcome
from loadtests.report import LoadReport
from serve.base.record import Record
from serve.rollout.trail.qualification import QualificationOutcome

Name = Literal["quality", "capacity", "shadow", "canary"]


class StageRecord(Record):
    """One stage."""

    name: Name
    outcome: CheckOutcome
    # A sentence for each check that did not pass.
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    # The load test behind the stage; None if it needs none or shares the next stage's.
    report: LoadReport | None = None


class QualificationRecord(Record):
    """The JSON that `counterweight qualify` writes, schema version 1."""

    schema_version: Literal[1] = 1
    started_at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")]
    # The command line that started it.
    command: tuple[str, ...] = ()
    url: str
    model: str
    baseline: str
    candidate: str
    # Digests of both bundles as they are served; the result holds for these versions only.
    digests: Mapping[str, str]
    limits: Limits
    # False if it was ended early; missing stages are not judged.
    complete: bool
    outcome: QualificationOutcome
    # The stage and the check that decided: the first that did not pass, or the closest to its limit.
    binding: str | None
    reasons: tuple[str, ...]
    stages: tuple[StageRecord, ...]


def make_stage(
    name: Name,
    checks: Sequence[Check],
    report: LoadReport | None = None,
) -> StageRecord:
    """Make a stage from its checks."""
    verdict = decide(checks)
    return StageRecord(
        name=name, outcome=verdict.outcome, reasons=verdict.reasons, checks=tuple(checks), report=report
    )


def conclude(
    stages: Sequence[StageRecord], *, complete: bool
) -> tuple[QualificationOutcome, str | None, tuple[str, ...]]:
    """Return the outcome of the stages, the check that decided, and every reason.

    One stage with a valid failure makes it NOT_QUALIFIED, whatever the other stages say."""
    by_outcome = {
        outcome: [stage for stage in stages if stage.outcome is outcome] for outcome in CheckOutcome
    }
    # Failed checks come before undecided ones.
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
