"""How two answers of one output are compared, and what its numbers mean, as a bundle records it."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from serve.base.record import Record

Task = Literal[
    "classification",
    "token_classification",
    "embedding",
    "regression",
    "binary",
    "multilabel",
    "segmentation",
    "tensors",
]
Kind = Literal["classes", "labels", "vectors", "numbers", "exact"]
Form = Literal["unknown", "plain", "shares", "log_shares", "chances", "unit"]
Tolerance = Annotated[float, Field(ge=0)]
# The kind of rule that has each of the parameters.
_PARAMETERS: dict[str, Kind] = {"axis": "classes", "threshold": "labels", "abs": "numbers", "rel": "numbers"}


class Rule(Record):
    """When two answers of one output differ (serve/tasks/compare_outputs.py)."""

    # `classes`: scores, the highest one is the class; `labels`: scores, each above the threshold is a label
    # that holds; `vectors`: embeddings; `numbers`: independent numbers;
    # `exact`: integers and strings.
    kind: Kind
    # `classes`: the dimension of the output that holds the scores of the classes; the batch is dimension 0.
    axis: int = -1
    # `labels`: None in a recipe: 0.5 if all scores lie in 0..1, else 0.
    threshold: float | None = None
    # `numbers`: two numbers differ if they are apart by more than `abs`, plus `rel` times the size of the
    # baseline's. None for both: the spread of the baseline's numbers decides.
    abs: Tolerance | None = None
    rel: Tolerance | None = None

    @model_validator(mode="after")
    def _refuse_foreign_parameters(self) -> Self:
        for name, kind in _PARAMETERS.items():
            if getattr(self, name) != type(self).model_fields[name].default and self.kind != kind:
                raise ValueError(
                    f"`{name}` belongs to the kind {kind}, and this kind is {self.kind}; remove it"
                )
        if self.axis == 0:
            raise ValueError("`axis: 0` is the batch; give the dimension of the classes, such as 1")
        return self


class Meaning(Rule):
    """The rule of one output, and what the baseline's answers to the held-out rows showed of its numbers."""

    # `shares` sum to one, `log_shares` are their logarithms, `chances` lie in 0..1 independently, `unit` are
    # vectors of length 1, `plain` is none of these. `unknown`: the bundle is older than this field.
    form: Form = "unknown"
    # The standard deviation over the rows: one value per place of one dimension, or one for all. A constant
    # place has a scale instead (serve/tasks/spread.py). Set for numbers, and for scores that may be numbers
    # because the recipe does not call them classes.
    spread: tuple[Tolerance, ...] = ()
    # The dimension of the output that `spread` has the places of; older bundles have those of the last one.
    # 0: it has one value for each number of a row.
    spread_axis: int = -1
    # The mean over the rows of embeddings that share most of their direction, which is subtracted from both
    # before they are compared. Empty if they share little, or in older bundles.
    centre: tuple[float, ...] = ()
