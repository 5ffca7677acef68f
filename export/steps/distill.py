"""Distill: train a model, or a student of its own, to answer like the baseline."""

from dataclasses import replace

import numpy as np

from export.context import Context, Made, Note
from export.errors import StepFailed
from export.forward import forward, to_tensors
from export.reproducible import seed_everything
from export.step import Distill, Student
from export.training.batches import Rows
from export.training.matching import Matching
from export.training.scores import Score, accuracy_of, likeness_to
from export.training.students import make_student
from export.training.teacher import teacher_answers
from export.training.train import train
from export.training.trainer import Goal


def distill(made: Made, settings: Distill, context: Context) -> Made:
    """The model, or the step's student in its place, trained to answer like the baseline. Raises StepFailed,
    or InvalidData when there is nothing to train on."""
    seed_everything(context.seed)
    if settings.student is not None:
        made = _enrol(made, settings.student, context)
    _refuse_other_shape(made, context)
    matching = Matching(made, settings, context)
    with matching.running(made.module):
        goal = Goal(loss=matching, score=_score(context), beside=matching.projections)
        note = train(made, goal, settings, context)
    return replace(made, notes=(*made.notes, {"step": "distill", **note}))


def _enrol(made: Made, student: Student, context: Context) -> Made:
    """The student instead of the model: what was done to that one's structure and zeros is gone with it."""
    surgery: Note = {"kind": "student", "student": student.model_dump(mode="json")}
    module = make_student(student, context.trained)
    return Made(module=module, surgery=(surgery,), notes=made.notes)


def _refuse_other_shape(made: Made, context: Context) -> None:
    rows: Rows = np.arange(2, dtype=np.int64)
    search = context.data.search
    came = list(forward(made.module.eval(), to_tensors(search.take(rows)))[0].shape)
    expected = list(teacher_answers(context, search)[rows].shape)
    if context.task == "token_classification":
        # All rows of the split are as long as its longest.
        expected[1] = came[1]
    if came != expected:
        raise StepFailed(
            f"the student answers {came}, the baseline {expected}; "
            "give the student an output of the baseline's size"
        )


def _score(context: Context) -> Score:
    search = context.data.search
    if search.labels is not None and context.task != "embedding":
        return lambda module: accuracy_of(module, search)
    return likeness_to(context.task, teacher_answers(context, search), search)
