"""What a person asks of a search: the `search` section of a recipe."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from export.search.plan import Plan, require_plan
from export.step import Positive
from serve.base.record import Record

Sampler = Literal["tpe", "gp", "nsga2", "random", "grid"]
Method = Literal["static", "dynamic", "weights", "channels", "drop_layers"]


class BatchSize(Record):
    """The size of a batch."""

    rows: Annotated[int, Field(ge=1, le=64)]


class SearchGoal(Record):
    """What should become less."""

    # CPU time of a run with so many rows.
    cpu_ms: BatchSize = BatchSize(rows=8)


class Enough(Record):
    """When a search ends before its budget."""

    # The CPU time of the baseline divided by that of a variant within the floor, at the interval's lower end.
    speedup: Annotated[float, Field(gt=1)]


class Search(Record):
    """The settings of a search; every one has a default."""

    goal: SearchGoal = SearchGoal()
    # Which methods may be used without `steps`; auto: all that can pay for this model on this processor.
    methods: Literal["auto"] | Annotated[tuple[Method, ...], Field(min_length=1)] = "auto"
    # The steps of every trial, with spaces as settings, instead of `methods`.
    steps: Plan | None = None
    budget_s: Positive = 1800.0
    satisfied: Enough | None = None
    # How the next settings are chosen: tpe, gp: from the results so far; nsga2: by crossing good trials;
    # random; grid: every combination.
    sampler: Sampler = "tpe"

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.steps is not None and "methods" in self.model_fields_set:
            raise ValueError("a search has either `steps` or `methods`; remove one of the two")
        if self.steps is not None:
            require_plan(self.steps, finite=self.sampler == "grid")
        return self
