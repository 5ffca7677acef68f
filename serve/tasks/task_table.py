"""The tasks of a model: for each, how two answers are compared, what a label is, and which figures it has."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from serve.bundles.meaning import Kind, Task


@dataclass(frozen=True, kw_only=True)
class QualityFigure:
    """The words for a figure of quality, and how a floor limits it."""

    # In a report.
    heading: str
    # In a terminal; None: there is no room for it.
    column: str | None
    # What a floor limits: `drop`: how far it is below the baseline's, `rise`: how far it is above, as a share
    # of the baseline's; `least` and `most`: the figure itself. None: no floor limits it.
    limit: Literal["drop", "rise", "least", "most"] | None
    # Whether its values have a unit of their own, and with it any size.
    has_unit: bool = False
    # The least value; R2 is negative where a constant fits better.
    least: float = 0.0

    def limit_of(self, name: str) -> str | None:
        """The key of the limit in a floor."""
        return f"{name}_{self.limit}" if self.limit in ("drop", "rise") else name if self.limit else None

    def show(self, value: float, sign: str = "", digits: int = 4) -> str:
        """Format a value, or with the sign `+` a change."""
        return f"{value:{sign}.{digits}{'g' if self.has_unit else 'f'}}"


# In the order of a table. The names are those of the fields of Quality.
FIGURES: Mapping[str, QualityFigure] = {
    # The recipe's own, of any task.
    "metric": QualityFigure(heading="metric", column="metric", limit="drop", has_unit=True),
    "accuracy": QualityFigure(heading="accuracy", column="accuracy", limit="drop"),
    "f1": QualityFigure(heading="F1", column="F1", limit="drop"),
    "micro_f1": QualityFigure(heading="micro-F1", column="micro-F1", limit="drop"),
    "macro_f1": QualityFigure(heading="macro-F1", column="macro-F1", limit="drop"),
    "auc": QualityFigure(heading="AUC", column="AUC", limit="drop"),
    "miou": QualityFigure(heading="mIoU", column="mIoU", limit="drop"),
    "worst_class": QualityFigure(heading="worst class", column=None, limit="drop"),
    "map": QualityFigure(heading="mAP", column="mAP", limit="drop"),
    "map50": QualityFigure(heading="mAP at 0.5", column="mAP50", limit="drop"),
    "recall": QualityFigure(heading="recall", column=None, limit="drop"),
    "ndcg": QualityFigure(heading="NDCG", column="NDCG", limit="drop"),
    "mrr": QualityFigure(heading="MRR", column="MRR", limit="drop"),
    "mae": QualityFigure(heading="MAE", column="MAE", limit="rise", has_unit=True),
    "rmse": QualityFigure(heading="RMSE", column="RMSE", limit="rise", has_unit=True),
    "r2": QualityFigure(heading="R2", column="R2", limit="drop", least=-math.inf),
    "loss": QualityFigure(heading="loss", column=None, limit=None),
    "agreement": QualityFigure(heading="agreement", column="agreement", limit="least"),
    "kl": QualityFigure(heading="KL divergence", column=None, limit="most"),
    "cosine": QualityFigure(heading="cosine", column="cosine", limit="least"),
    "rank_correlation": QualityFigure(heading="rank correlation", column="rank", limit="least"),
    "neighbours": QualityFigure(heading="same nearest neighbour", column="neighbours", limit=None),
    "explanation_overlap": QualityFigure(
        heading="explanation overlap", column="expl. overlap", limit="least"
    ),
    "explanation_rank": QualityFigure(heading="explanation rank", column="expl. rank", limit="least"),
}
# Of every task whose answer has a score (serve/tasks/effects.py).
_EXPLANATIONS = ("explanation_overlap", "explanation_rank")


@dataclass(frozen=True, kw_only=True)
class TaskTraits:
    """What a task says of the first output of a model and of the labels."""

    # How two answers are compared; None: each output has its own rule, from the recipe or the answers.
    rule: Kind | None
    # The dimensions of the output; the last has a fixed size. None: any.
    dims: tuple[str, ...] | None
    # What one label is, in words; None: the task takes no labels.
    label: str | None = None
    # The dimensions of the labels; None: those of the output.
    label_dims: tuple[str, ...] | None = ()
    # `class`: whole numbers from 0, one per row or token; `map`: an array of them per row; `flag`: 1 or 0;
    # `number`: floats, NaN where there is none; `boxes`: corners and a class; `relevance`: floats from 0, NaN
    # where there is none.
    label_type: Literal["class", "map", "flag", "number", "boxes", "relevance"] = "class"
    # The figures that need labels; the main one is first.
    by_labels: tuple[str, ...] = ()
    # The figures that compare with the baseline's answers; the main one is first.
    by_answers: tuple[str, ...] = ("agreement", *_EXPLANATIONS)
    # Whether the answers decide if the scores are of classes at all.
    doubtful: bool = False
    # What the answers are counted in.
    item: str = "rows"

    @property
    def floors(self) -> tuple[str, ...]:
        """The keys of a floor that the task has."""
        return _limits((*self.by_labels, *self.by_answers))

    @property
    def label_floors(self) -> tuple[str, ...]:
        """The keys of a floor that need labels."""
        return _limits(self.by_labels)

    @property
    def learns_labels(self) -> bool:
        """Whether training steps learn the labels; otherwise they learn the baseline's answers as numbers."""
        return self.label_type not in ("boxes", "relevance")

    @property
    def names_one_class(self) -> bool:
        """Whether an answer to one row names one class, which a client's label can be compared with."""
        return self.label_dims == ("rows",)

    @property
    def names_classes(self) -> bool:
        """Whether the output tells classes apart, which may have names."""
        return self.rule in ("classes", "labels", "boxes")


def _limits(names: Sequence[str]) -> tuple[str, ...]:
    keys = (FIGURES[name].limit_of(name) for name in names)
    return tuple(key for key in keys if key is not None)


_BY_CLASS = ("accuracy", "macro_f1", "worst_class", "loss")
TASKS: Mapping[Task, TaskTraits] = {
    "classification": TaskTraits(
        rule="classes",
        dims=("batch", "classes"),
        label="the class of a row",
        label_dims=("rows",),
        by_labels=_BY_CLASS,
        by_answers=("agreement", "kl", *_EXPLANATIONS),
        doubtful=True,
    ),
    "token_classification": TaskTraits(
        rule="classes",
        dims=("batch", "tokens", "classes"),
        label="the class of a token",
        label_dims=("rows", "tokens"),
        by_labels=_BY_CLASS,
        by_answers=("agreement", "kl", *_EXPLANATIONS),
        doubtful=True,
        item="tokens",
    ),
    "embedding": TaskTraits(
        rule="vectors",
        dims=("batch", "width"),
        by_answers=("cosine", "rank_correlation", "neighbours", *_EXPLANATIONS),
    ),
    "regression": TaskTraits(
        rule="numbers",
        dims=None,
        label="the right number for each number of the output",
        label_dims=None,
        label_type="number",
        by_labels=("r2", "mae", "rmse"),
    ),
    "binary": TaskTraits(
        rule="labels",
        dims=None,
        label="1 or 0 for a row",
        label_dims=("rows",),
        label_type="flag",
        by_labels=("accuracy", "f1", "auc"),
    ),
    "multilabel": TaskTraits(
        rule="labels",
        dims=("batch", "labels"),
        label="1 or 0 for each label of a row",
        label_dims=("rows", "labels"),
        label_type="flag",
        by_labels=("micro_f1", "macro_f1", "auc"),
    ),
    "segmentation": TaskTraits(
        rule="classes",
        dims=None,
        label="the class of each place, such as a pixel",
        label_dims=None,
        label_type="map",
        by_labels=("miou", "accuracy", "worst_class"),
        by_answers=("agreement", "kl", *_EXPLANATIONS),
        item="pixels",
    ),
    "detection": TaskTraits(
        rule="boxes",
        dims=None,
        label="the corners and the class of each box",
        label_dims=("rows", "boxes", "numbers"),
        label_type="boxes",
        by_labels=("map", "map50", "recall"),
        by_answers=("agreement",),
    ),
    "ranking": TaskTraits(
        rule="ranks",
        dims=None,
        label="the relevance of each item",
        label_dims=None,
        label_type="relevance",
        by_labels=("ndcg", "mrr"),
    ),
    "tensors": TaskTraits(rule=None, dims=None),
}
