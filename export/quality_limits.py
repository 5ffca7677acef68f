"""The quality floor of a recipe: how much worse than the baseline a variant may be."""

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, model_validator

from export.step import ImportPath, NotNegative, Share
from serve.base.record import Record, rename_key
from serve.bundles.figures import Better


class MetricFunction(Record):
    """A function of the user that rates the answers of a model; see export/proof/own_metric.py."""

    function: ImportPath
    better: Better = "higher"


# A function alone, or a function and what is better.
Metric = Annotated[
    MetricFunction, BeforeValidator(lambda given: {"function": given} if isinstance(given, str) else given)
]


class Floor(Record):
    """How much quality a variant may lose on the held-out split without being rejected.

    Each limit applies to the worse end of the interval (see export/proof/bootstrap.py for its confidence)."""

    # How far a variant's metric may be below the baseline's, 0 to 1. These need labels.
    accuracy_drop: Share | None = None
    macro_f1_drop: Share | None = None
    f1_drop: Share | None = None
    micro_f1_drop: Share | None = None
    auc_drop: Share | None = None
    miou_drop: Share | None = None
    worst_class_drop: Share | None = None
    map_drop: Share | None = None
    map50_drop: Share | None = None
    recall_drop: Share | None = None
    ndcg_drop: Share | None = None
    mrr_drop: Share | None = None
    r2_drop: NotNegative | None = None
    # How much worse the recipe's own metric may be, in its own unit.
    metric_drop: NotNegative | None = None
    # How far an error may be above the baseline's, as a share of the baseline's. These need labels.
    mae_rise: NotNegative | None = None
    rmse_rise: NotNegative | None = None
    # Minimum share of held-out rows on which no output differs from the baseline's.
    agreement: Share | None = None
    # Maximum mean KL divergence from the baseline's distribution, in nats.
    kl: NotNegative | None = None
    # Minimum similarity to the baseline's embeddings.
    cosine: Share | None = None
    rank_correlation: Share | None = None
    # Minimum similarity of the explanations to the baseline's (export/proof/explanations.py).
    explanation_overlap: Share | None = None
    explanation_rank: Share | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, data: Any) -> Any:
        return rename_key(data, "kl_divergence", "kl")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"a floor needs at least one limit: {', '.join(Floor.model_fields)}")
        return self
