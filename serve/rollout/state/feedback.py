"""Feedback: what people and programs say of answers that were given before, and what became of it."""

from typing import Annotated, Self

from pydantic import Field, StrictInt, StrictStr, model_validator

from serve.base.record import Record

_Class = Annotated[StrictInt, Field(ge=0, lt=2**31)]
_Name = Annotated[StrictStr, Field(min_length=1, max_length=256)]


class Outcome(Record):
    """What is known now of an answer that was given then."""

    # As the answer's header x-request-id told it.
    request_id: Annotated[str, Field(min_length=1, max_length=128)]
    # Whether it was right; None: `label` says it.
    correct: bool | None = None
    # The class that should have been on top: its number, or its name.
    label: _Class | _Name | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.correct is None) == (self.label is None):
            raise ValueError("give either correct, whether the answer was right, or label, the right class")
        return self


class Outcomes(Record):
    """Feedback on some requests."""

    outcomes: Annotated[tuple[Outcome, ...], Field(max_length=1000)]


class Feedback(Record):
    """What became of the outcomes: how many count now, and the ids of those that do not."""

    counted: int
    # Already told before; the first stands.
    double: tuple[str, ...]
    # The rollout in which they were answered is over.
    late: tuple[str, ...]
    # Answered outside of a rollout that asks for feedback, or too long ago, or never.
    unknown: tuple[str, ...]
    # Not known yet: they count when their requests are, within half a minute, and need not be sent again.
    held: tuple[str, ...] = ()
    # A label came, and the answer had no class on top, or it had several rows; or `correct` came for a
    # request of the shadow, and only a label says whether the candidate's answer was right as well.
    no_class: tuple[str, ...] = ()
