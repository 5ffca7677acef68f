"""Qualification: what came of weighing a candidate before any rollout, as the trail keeps it."""

import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from serve.base.record import Record
from serve.bundles.bundle import Sha256

Reasons = Annotated[tuple[str, ...], Field(max_length=100)]
# As whoever checked it wrote it down.
Check = Mapping[str, JsonValue]


class QualificationOutcome(StrEnum):
    """Of all stages together."""

    QUALIFIED = "QUALIFIED"
    NOT_QUALIFIED = "NOT_QUALIFIED"
    # The figures cannot be trusted, so nothing is known.
    INVALID = "INVALID"


class Stage(Record):
    """One part of it, such as the capacity of both variants."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    outcome: Literal["PASS", "FAIL", "INVALID"]
    # Why it did not pass.
    reasons: Reasons = ()
    checks: Annotated[tuple[Check, ...], Field(max_length=500)] = ()


class Qualification(Record):
    """What was found, of which versions."""

    candidate: str
    baseline: str
    # Of the bundles of both: what was measured of one version says nothing about the next.
    digests: Mapping[str, Sha256]
    outcome: QualificationOutcome
    # The check that decided it, or came closest to; None: there is no such one.
    binding: str | None = None
    # Why it is not QUALIFIED.
    reasons: Reasons = ()
    # What was asked.
    limits: Mapping[str, JsonValue] = {}
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=20)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.baseline == self.candidate:
            raise ValueError(f"the candidate {self.candidate!r} is the baseline; name another variant")
        if set(self.digests) != {self.baseline, self.candidate}:
            raise ValueError(
                f"digests: they are of {', '.join(sorted(self.digests)) or 'nothing'}; give those of "
                f"{self.baseline} and {self.candidate}"
            )
        failed = [stage.name for stage in self.stages if stage.outcome != "PASS"]
        if self.outcome is QualificationOutcome.QUALIFIED and failed:
            raise ValueError(f"outcome: it is QUALIFIED, and {', '.join(failed)} did not pass; give another")
        if self.outcome is not QualificationOutcome.QUALIFIED and not self.reasons:
            raise ValueError(f"outcome: it is {self.outcome} for no reason; give at least one in `reasons`")
        return self

    def said(self) -> str:
        """All of it in a sentence."""
        stages = ", ".join(f"{stage.name} {stage.outcome}" for stage in self.stages)
        reasons = "".join(f"; {reason}" for reason in self.reasons)
        return f"{self.candidate} against {self.baseline}: {self.outcome} ({stages}){reasons}"


class QualificationView(Qualification):
    """The same, as it stands in the trail."""

    # Of its entry.
    number: int
    by: str
    # Seconds since 1970.
    at_s: float


def view_of(qualification: Qualification, number: int, by: str, at_s: float) -> QualificationView:
    """A qualification with its place in the trail."""
    return QualificationView(**dict(qualification), number=number, by=by, at_s=at_s)


def unqualified(
    known: Sequence[QualificationView], candidate: str, baseline: str, digests: Mapping[str, str]
) -> str | None:
    """Why the candidate, in the version of these digests, does not count as QUALIFIED; None: it does.

    Of several the last one counts. `known` are the model's, oldest first."""
    of_both = [view for view in known if (view.candidate, view.baseline) == (candidate, baseline)]
    if not of_both:
        return f"{candidate!r} was never qualified against {baseline!r}"
    same = [view for view in of_both if all(view.digests[name] == digests[name] for name in view.digests)]
    if not same:
        changed = [name for name in of_both[-1].digests if of_both[-1].digests[name] != digests[name]]
        when = _moment(of_both[-1])
        return f"{' and '.join(map(repr, changed))} was loaded in another version than was qualified {when}"
    last = same[-1]
    if last.outcome is QualificationOutcome.QUALIFIED:
        return None
    return f"{candidate!r} came out {last.outcome} {_moment(last)}: {'; '.join(last.reasons)}"


def _moment(view: QualificationView) -> str:
    return f"by {view.by} at {time.strftime('%Y-%m-%d %H:%M', time.gmtime(view.at_s))} UTC"
