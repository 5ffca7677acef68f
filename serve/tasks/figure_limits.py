"""Limits of the quality figures of a variant: how much worse than the baseline it may be."""

from typing import Annotated

from pydantic import Field

from serve.base.record import Record

_Share = Annotated[float, Field(ge=0, le=1)]
_NotNegative = Annotated[float, Field(ge=0)]


class FigureLimits(Record):
    """A limit of each quality figure, by the keys of FIGURES (serve/tasks/task_table.py); None: no limit."""

    # How far a variant's metric may be below the baseline's, 0 to 1. These need labels.
    accuracy_drop: _Share | None = None
    macro_f1_drop: _Share | None = None
    f1_drop: _Share | None = None
    micro_f1_drop: _Share | None = None
    auc_drop: _Share | None = None
    miou_drop: _Share | None = None
    worst_class_drop: _Share | None = None
    map_drop: _Share | None = None
    map50_drop: _Share | None = None
    recall_drop: _Share | None = None
    ndcg_drop: _Share | None = None
    mrr_drop: _Share | None = None
    r2_drop: _NotNegative | None = None
    # How much worse the recipe's own metric may be, in its own unit.
    metric_drop: _NotNegative | None = None
    # How far an error may be above the baseline's, as a share of the baseline's. These need labels.
    mae_rise: _NotNegative | None = None
    rmse_rise: _NotNegative | None = None
    # Minimum share of held-out rows on which no output differs from the baseline's.
    agreement: _Share | None = None
    # Maximum mean KL divergence from the baseline's distribution, in nats.
    kl: _NotNegative | None = None
    # Minimum similarity to the baseline's embeddings.
    cosine: _Share | None = None
    rank_correlation: _Share | None = None
    # Minimum similarity of the explanations to the baseline's (export/proof/explanations.py).
    explanation_overlap: _Share | None = None
    explanation_rank: _Share | None = None
