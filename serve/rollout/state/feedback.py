"""Labels of answers that were given before, and what happened to each label."""

from typing import Annotated, Self

from pydantic import Field, StrictInt, StrictStr, model_validator

from serve.base.record import Record

_Class = Annotated[StrictInt, Field(ge=0, lt=2**31)]
_Name = Annotated[StrictStr, Field(min_length=1, max_length=256)]


class Outcome(Record):
    """A label for one answer."""

    # The answer's header x-request-id.
    request_id: Annotated[str, Field(min_length=1, max_length=128)]
    # Whether the answer was right; None: `label` is set.
    correct: bool | None = None
    # The right class: its number, or its name.
    label: _Class | _Name | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.correct is None) == (self.label is None):
            raise ValueError("give either correct (whether the answer was right) or label (the right class)")
        return self


class Outcomes(Record):
    """Labels for several answers."""

    outcomes: Annotated[tuple[Outcome, ...], Field(max_length=1000)]


class Feedback(Record):
    """How many labels count now, and the request ids of those that do not."""

    counted: int
    # Labelled before; the first label counts.
    double: tuple[str, ...]
    # The rollout in which they were answered is over.
    late: tuple[str, ...]
    # Answered outside of a rollout that uses labels, too long ago, or never.
    unknown: tuple[str, ...]
    # Not known yet: they count if their requests become known within half a minute; no need to send them
    # again.
    held: tuple[str, ...] = ()
    # The answer had no top class, or several rows; or `correct` came for a request of the shadow, where only
    # a label shows whether the candidate's answer was right as well.
    no_class: tuple[str, ...] = ()
    # Why no label can count now, and what to do; None: labels can count.
    note: str | None = None
