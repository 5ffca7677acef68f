"""Trains a model, or a separate student, to answer like the baseline."""

from dataclasses import replace

import numpy as np

from export.artifacts import Context, Made, Note
from export.errors import StepFailed
from export.forward import forward, to_tensors
from export.reproducible import seed_everything
from export.step import Distill, Student
from export.training.batches import Rows
from export.training.distillation_loss import Matching
from export.training.scores import Score, label_rule, likeness_to, read_baseline, score_labels
from export.training.students import make_student
from export.training.teacher import teacher_answers
from export.training.train import train
from export.training.trainer import Goal
from serve.tasks.answer_form import find_change
from serve.tasks.task_table import TASKS

# Rows of the search split on which the student's outputs are inspected.
_ROWS = 32


def distill(made: Made, settings: Distill, context: Context) -> Made:
    """Train the model, or the step's student in its place, to answer like the baseline. Raises StepFailed, or
    InvalidData if there are no rows to train on."""
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
    """Replace the model by the student, without the structural changes and zeros of the earlier model."""
    surgery: Note = {"kind": "student", "student": student.model_dump(mode="json")}
    module = make_student(student, context.trained)
    return Made(module=module, surgery=(surgery,), notes=made.notes)


def _refuse_other_shape(made: Made, context: Context) -> None:
    """Raise StepFailed if the student's answers have another shape than the baseline's, or another form that
    no training changes, such as logits instead of probabilities."""
    search = context.data.search
    rows: Rows = np.arange(min(len(search), _ROWS), dtype=np.int64)
    answer = forward(made.module.eval(), to_tensors(search.take(rows)))[0].detach().numpy()
    taught = teacher_answers(context, search)
    actual, expected = list(answer[:2].shape), list(taught[rows][:2].shape)
    if TASKS[context.task].item == "tokens":
        # All rows of the split are as long as its longest.
        expected[1] = actual[1]
    if actual != expected:
        raise StepFailed(
            f"the student answers {actual}, the baseline {expected}; give the student an output of the "
            "baseline's size"
        )
    meaning = read_baseline(context, taught, search)
    if meaning.form == "chances":
        # A student may still learn to stay within 0..1.
        return
    target = taught[rows] if answer.ndim < 3 else taught[rows][:, : answer.shape[1]]
    change = find_change("first output", meaning, target, answer, real=False)
    if change is not None:
        raise StepFailed(
            f"{change} (here the student's, before training): clients of one would misread the other; "
            "end the student as the baseline ends, for example in a softmax"
        )


def _score(context: Context) -> Score:
    search = context.data.search
    if search.labels is not None:
        return lambda module: score_labels(label_rule(context), module, search)
    answers = teacher_answers(context, search)
    return likeness_to(context.task, answers, search, read_baseline(context, answers, search))
