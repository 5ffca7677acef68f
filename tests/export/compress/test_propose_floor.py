"""A floor is proposed that a faithful variant can pass on the rows that there are."""

import numpy as np
import pytest

from export.compress.propose_floor import propose_floor
from export.proof.bootstrap import share_interval
from export.quality_limits import Floor
from serve.bundles.meaning import Task
from serve.tasks.task_table import TASKS


@pytest.mark.parametrize("task", list(TASKS))
@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("rows", [2, 500])
def test_every_task_gets_limits_that_a_floor_knows(task: Task, labelled: bool, rows: int) -> None:
    """A recipe accepts the proposed limits, and the task has them."""
    floor = propose_floor(task, labelled, rows)
    assert set(Floor.model_validate(floor).model_fields_set) <= set(TASKS[task].floors)


@pytest.mark.parametrize("rows", [20, 50, 100, 300, 10_000])
def test_answers_that_all_agree_pass(rows: int) -> None:
    """The limit of agreement is below the interval of rows that all agree."""
    every = np.ones(rows)
    assert propose_floor("classification", False, rows)["agreement"] < share_interval(every, every)[0]


def test_many_rows_get_the_usual_limits() -> None:
    """With 10,000 rows, 95 % must agree, and the accuracy may fall by 0.02."""
    floor = propose_floor("classification", True, rows=10_000)
    assert floor == {"agreement": 0.95, "accuracy_drop": 0.02}
