"""How two answers of one output are compared, and what its numbers mean, as a bundle records it."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_serializer, model_validator

from serve.bundles.box_form import BoxForm

Task = Literal[
    "classification",
    "token_classification",
    "embedding",
    "regression",
    "binary",
    "multilabel",
    "segmentation",
    "detection",
    "ranking",
    "tensors",
]
Kind = Literal["classes", "labels", "vectors", "numbers", "boxes", "ranks", "exact", "state"]
Form = Literal["unknown", "plain", "shares", "log_shares", "chances", "unit"]
Tolerance = Annotated[float, Field(ge=0)]
# The kinds of rule that have each of the parameters.
_PARAMETERS: dict[str, tuple[Kind, ...]] = {
    "axis": ("classes", "boxes"),
    "threshold": ("labels",),
    "abs": ("numbers",),
    "rel": ("numbers",),
    "top": ("ranks",),
    **dict.fromkeys(BoxForm.model_fields, ("boxes",)),
}
_SELDOM = {"top", *BoxForm.model_fields}


class Rule(BoxForm):
    """When two answers of one output differ (serve/tasks/compare_outputs.py)."""

    # `classes`: scores, the highest one is the class; `labels`: scores, each above the threshold is a label
    # that holds; `vectors`: embeddings; `numbers`: independent numbers; `boxes`: detections; `ranks`: scores
    # whose order counts; `exact`: integers and strings; `state`: no answer, but an input of the next request,
    # never compared.
    kind: Kind
    # The dimension of the output that holds the scores of the classes (`classes`), or the numbers of one box
    # (`boxes`); the batch is dimension 0.
    axis: int = -1
    # `labels`: None in a recipe: 0.5 if all scores lie in 0..1, else 0.
    threshold: float | None = None
    # `numbers`: two numbers differ if they are apart by more than `abs`, plus `rel` times the size of the
    # baseline's. None for both: the spread of the baseline's numbers decides.
    abs: Tolerance | None = None
    rel: Tolerance | None = None
    # `ranks`: the number of highest scores whose order counts; None: 10.
    top: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _refuse_foreign_parameters(self) -> Self:
        for name, kinds in _PARAMETERS.items():
            if getattr(self, name) != type(self).model_fields[name].default and self.kind not in kinds:
                raise ValueError(
                    f"`{name}` belongs to the kind {' or '.join(kinds)}, and this kind is {self.kind}; "
                    "remove it"
                )
        if self.axis == 0:
            raise ValueError("`axis: 0` is the batch; give the dimension of the classes, such as 1")
        return self

    @model_serializer(mode="wrap")
    def _leave_out_unused(self, write: Callable[[Self], dict[str, Any]]) -> dict[str, Any]:
        """Parameters that few rules have are not written, so that the digests of other rules stay."""
        return {
            name: value for name, value in write(self).items() if value is not None or name not in _SELDOM
        }


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
