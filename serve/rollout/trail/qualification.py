"""The result of a qualification, as the trail keeps it."""

import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from serve.base.record import Record
from serve.bundles.bundle import Sha256

Reasons = Annotated[tuple[str, ...], Field(max_length=100)]
# A check, in the format of its author.
Check = Mapping[str, JsonValue]


class QualificationOutcome(StrEnum):
    """The outcome of all stages together."""

    QUALIFIED = "QUALIFIED"
    NOT_QUALIFIED = "NOT_QUALIFIED"
    # The measurements cannot be trusted, so nothing is known.
    INVALID = "INVALID"


class Stage(Record):
    """One stage of a qualification, such as the capacity of both variants."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    outcome: Literal["PASS", "FAIL", "INVALID"]
    # Why it did not pass.
    reasons: Reasons = ()
    checks: Annotated[tuple[Check, ...], Field(max_length=500)] = ()


class Qualification(Record):
    """The result of qualifying a candidate, for two versions."""

    candidate: str
    baseline: str
    # The digests of both bundles, because the result applies to one version only.
    digests: Mapping[str, Sha256]
    outcome: QualificationOutcome
    # The check that decided the outcome or was closest to its limit; None: there is none.
    binding: str | None = None
    # Why it is not QUALIFIED.
    reasons: Reasons = ()
    # The limits that were checked.
    limits: Mapping[str, JsonValue] = {}
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=20)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.baseline == self.candidate:
            raise ValueError(f"the candidate {self.candidate!r} is the baseline; name another variant")
        if set(self.digests) != {self.baseline, self.candidate}:
            raise ValueError(
                f"digests: they are for {', '.join(sorted(self.digests)) or 'nothing'}; give those for "
                f"{self.baseline} and {self.candidate}"
            )
        failed = [stage.name for stage in self.stages if stage.outcome != "PASS"]
        if self.outcome is QualificationOutcome.QUALIFIED and failed:
            raise ValueError(
                f"outcome: it is QUALIFIED, but {', '.join(failed)} did not pass; give another one"
            )
        if self.outcome is not QualificationOutcome.QUALIFIED and not self.reasons:
            raise ValueError(
                f"outcome: it is {self.outcome} without a reason; give at least one in `reasons`"
            )
        return self

    def sentence(self) -> str:
        """The whole result in a sentence."""
        stages = ", ".join(f"{stage.name} {stage.outcome}" for stage in self.stages)
        reasons = "".join(f"; {reason}" for reason in self.reasons)
        return f"{self.candidate} against {self.baseline}: {self.outcome} ({stages}){reasons}"


class QualificationView(Qualification):
    """A qualification with its entry in the trail."""

    # The number of the entry.
    number: int
    by: str
    # Seconds since 1970.
    at_s: float


def view_of(qualification: Qualification, number: int, by: str, at_s: float) -> QualificationView:
    """Add the entry's data to a qualification."""
    return QualificationView(**dict(qualification), number=number, by=by, at_s=at_s)


def unqualified(
    known: Sequence[QualificationView], candidate: str, baseline: str, digests: Mapping[str, str]
) -> str | None:
    """Why the version of the candidate with these digests is not QUALIFIED; None if it is.

    The last result counts. `known` are the results of the model, oldest first."""
    of_both = [view for view in known if (view.candidate, view.baseline) == (candidate, baseline)]
    if not of_both:
        return f"{candidate!r} was never qualified against {baseline!r}"
    same = [view for view in of_both if all(view.digests[name] == digests[name] for name in view.digests)]
    if not same:
        changed = [name for name in of_both[-1].digests if of_both[-1].digests[name] != digests[name]]
        when = _moment(of_both[-1])
        return f"another version of {' and '.join(map(repr, changed))} is loaded than was qualified {when}"
    last = same[-1]
    if last.outcome is QualificationOutcome.QUALIFIED:
        return None
    return f"the result for {candidate!r} was {last.outcome} {_moment(last)}: {'; '.join(last.reasons)}"


def _moment(view: QualificationView) -> str:
    return f"by {view.by} at {time.strftime('%Y-%m-%d %H:%M', time.gmtime(view.at_s))} UTC"
