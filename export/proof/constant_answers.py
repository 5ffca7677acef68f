"""Finds outputs for which a constant answer would pass the floor.

In this case the limited metrics prove nothing, for example the agreement with a baseline that always predicts
the same class."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.labels import Labels
from export.errors import InvalidData
from export.proof.floor import judge, judge_output
from export.proof.held_out import Answers
from export.proof.output_quality import Meanings, few_rows, measure_output
from export.proof.own_metric import PairedMetric
from export.proof.quality import measure
from export.quality_limits import Floor
from export.recipe import Recipe
from serve.bundles.figures import Quality
from serve.bundles.meaning import Meaning
from serve.tasks.answer_form import classes_last
from serve.tasks.detections import sum_scores

Array = NDArray[Any]
# With fewer rows, a correlation cannot be estimated.
_ENOUGH_ROWS = 10


def find_unproven(
    recipe: Recipe,
    meanings: Meanings,
    expected: Answers,
    labels: Labels | None,
    metric: PairedMetric | None = None,
) -> set[str]:
    """Return the outputs for which a constant would pass the recipe's floor; `expected` are the baseline's
    answers, and `metric` is the recipe's own."""
    floor, task, unproven = recipe.floor, recipe.task, set()
    for number, (name, output) in enumerate(expected.items()):
        meaning = meanings[name]
        if len(output) < _ENOUGH_ROWS or meaning.kind in ("exact", "state"):
            continue
        for constant in _list_constants(meaning, output):
            if number == 0:
                quality = measure(task, output, constant, labels, recipe.seed, meaning=meaning)
                refused = _refuse(floor, quality, metric, {**expected, name: constant})
            else:
                refused = judge_output(floor, measure_output(task, name, meaning, output, constant))
            if refused is None:
                unproven.add(name)
    return unproven


def _refuse(floor: Floor, quality: Quality, metric: PairedMetric | None, answers: Answers) -> str | None:
    """Return why these answers do not pass; those for which the metric fails do not."""
    if metric is None:
        return judge(floor, quality)
    try:
        return judge(floor, quality.model_copy(update={"metric": metric.measure(answers)}))
    except InvalidData as error:
        return str(error)


def _list_constants(meaning: Meaning, output: Array) -> list[Array]:
    """One typical answer for all rows; for maps of classes also one whole map, for boxes the emptiest row."""
    if meaning.kind == "boxes":
        return _repeat_boxes(meaning, output)
    constants = [repeat_typical(meaning, output)]
    if meaning.kind == "classes" and output.ndim > 2 and np.isfinite(output).all():
        rows = few_rows(output).reshape(len(few_rows(output)), -1).astype(np.float64)
        typical = np.square(rows - rows.mean(axis=0)).sum(axis=1).argmin()
        constants.append(np.broadcast_to(output[typical], output.shape))
    return constants


def _repeat_boxes(meaning: Meaning, output: Array) -> list[Array]:
    """The row whose detections are most like those of all rows, and the row with the fewest, for all rows."""
    present = sum_scores(meaning, output)
    typical = np.square(present - present.mean(axis=0)).sum(axis=1).argmin()
    fewest = present.sum(axis=1).argmin()
    return [np.broadcast_to(output[row], output.shape) for row in (typical, fewest)]


def repeat_typical(meaning: Meaning, output: Array) -> Array:
    """Repeat the baseline's answer to one typical row (or token) for all rows.

    It is the answer nearest to the mean among those with the most frequent class, so it has the form of the
    baseline's answers."""
    constant = _repeat(meaning, classes_last(meaning, output))
    return constant if meaning.axis == -1 else np.moveaxis(constant, -1, meaning.axis)


def _repeat(meaning: Meaning, output: Array) -> Array:
    shape = output.shape[-1:]
    if meaning.kind != "classes" and np.isfinite(output).all():
        shape = output.shape[1:]
    items = few_rows(output).reshape(-1, int(np.prod(shape)) if output.ndim > 1 else 1).astype(np.float64)
    items = items[np.isfinite(items).all(axis=1)]
    if not len(items):
        return output
    if meaning.kind == "classes":
        top = items.argmax(axis=1)
        items = items[top == np.bincount(top).argmax()]
    spread = items.std(axis=0)
    apart = (items - items.mean(axis=0)) / np.where(spread > 0, spread, 1)
    typical = items[np.square(apart).sum(axis=1).argmin()].astype(output.dtype)
    alike = typical.reshape(shape) if output.ndim > 1 else typical[0]
    return np.where(np.isnan(output), output, alike).astype(output.dtype)
