"""The table of the tasks is complete."""

from typing import get_args

import pytest

from export.quality_limits import Floor
from serve.bundles.figures import Quality
from serve.bundles.meaning import Task
from serve.tasks.task_table import FIGURES, TASKS


def test_every_task_has_a_row() -> None:
    """A recipe can name no other."""
    assert set(TASKS) == set(get_args(Task))


@pytest.mark.parametrize("task", TASKS)
def test_the_figures_of_a_task_are_fields_of_its_quality(task: Task) -> None:
    """Each has words, and comes from labels only if the task has labels."""
    traits = TASKS[task]
    assert {*traits.by_labels, *traits.by_answers} <= set(FIGURES) <= set(Quality.model_fields)
    assert bool(traits.by_labels) == (traits.label is not None)


def test_each_limit_of_a_floor_belongs_to_a_task() -> None:
    """No task has a limit that a recipe cannot write, and a recipe none that no task has, except that of its
    own metric."""
    limits = {key for traits in TASKS.values() for key in traits.floors}
    assert limits | {"metric_drop"} == set(Floor.model_fields)


@pytest.mark.parametrize(
    ("task", "floors"),
    [
        ("classification", ("accuracy_drop", "macro_f1_drop", "worst_class_drop", "agreement", "kl")),
        ("token_classification", ("accuracy_drop", "macro_f1_drop", "worst_class_drop", "agreement", "kl")),
        ("embedding", ("cosine", "rank_correlation")),
        ("regression", ("r2_drop", "mae_rise", "rmse_rise", "agreement")),
        ("binary", ("accuracy_drop", "f1_drop", "auc_drop", "agreement")),
        ("multilabel", ("micro_f1_drop", "macro_f1_drop", "auc_drop", "agreement")),
        ("segmentation", ("miou_drop", "accuracy_drop", "worst_class_drop", "agreement", "kl")),
        ("detection", ("map_drop", "map50_drop", "recall_drop", "agreement")),
        ("ranking", ("ndcg_drop", "mrr_drop", "agreement")),
        ("tensors", ("agreement",)),
    ],
)
def test_the_floors_of_a_task(task: Task, floors: tuple[str, ...]) -> None:
    """Those that need labels come first, and those of explanations last, which boxes do not have."""
    explanations = () if task == "detection" else ("explanation_overlap", "explanation_rank")
    assert TASKS[task].floors == (*floors, *explanations)
