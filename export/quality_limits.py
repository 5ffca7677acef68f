"""The quality floor of a recipe: how much worse than the baseline a variant may be."""

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, model_validator

from export.step import ImportPath
from serve.base.record import Record, rename_key
from serve.bundles.figures import Better
from serve.tasks.figure_limits import FigureLimits


class MetricFunction(Record):
    """A function of the user that rates the answers of a model; see export/proof/own_metric.py."""

    function: ImportPath
    better: Better = "higher"


# A function alone, or a function and what is better.
Metric = Annotated[
    MetricFunction, BeforeValidator(lambda given: {"function": given} if isinstance(given, str) else given)
]


class Floor(FigureLimits):
    """How much quality a variant may lose on the held-out split without being rejected.

    Each limit applies to the worse end of the interval (see export/proof/bootstrap.py for its confidence)."""

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, data: Any) -> Any:
        return rename_key(data, "kl_divergence", "kl")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"a floor needs at least one limit: {', '.join(Floor.model_fields)}")
        return self
