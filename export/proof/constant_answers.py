"""Finds outputs for which an answer that says nothing would pass the floor, such as a constant.

In this case the limited metrics prove nothing, for example the agreement with a baseline that always predicts
the same class."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.labels import IGNORE, Labels
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
# Columns that are tried one by one; of more, one is hardly ever all that a floor overlooks.
_MOST_COLUMNS = 64


def find_unproven(
    recipe: Recipe,
    meanings: Meanings,
    expected: Answers,
    labels: Labels | None,
    metric: PairedMetric | None = None,
) -> set[str]:
    """Return the outputs for which a constant, also in one column only, or scores all above the threshold
    would pass the recipe's floor; `expected` are the baseline's answers, and `metric` is the recipe's own."""
    floor, task, unproven = recipe.floor, recipe.task, set()
    for number, (name, output) in enumerate(expected.items()):
        meaning = meanings[name]
        if len(output) < _ENOUGH_ROWS or meaning.kind == "state":
            continue
        for empty in _list_empty(meaning, output, labels if number == 0 else None):
            if number == 0:
                quality = measure(task, output, empty, labels, recipe.seed, meaning=meaning)
                refused = _refuse(floor, quality, metric, {**expected, name: empty})
            else:
                refused = judge_output(floor, measure_output(task, name, meaning, output, empty))
            if refused is None:
                unproven.add(name)
                break
    return unproven


def _refuse(floor: Floor, quality: Quality, metric: PairedMetric | None, answers: Answers) -> str | None:
    """Return why these answers do not pass; those for which the metric fails do not."""
    if metric is None:
        return judge(floor, quality)
    try:
        return judge(floor, quality.model_copy(update={"metric": metric.measure(answers)}))
    except InvalidData as error:
        return str(error)


def _list_empty(meaning: Meaning, output: Array, labels: Labels | None) -> Iterator[Array]:
    """Yield answers that say nothing: one typical answer for all rows, for maps of classes one whole map, for
    independent columns the same number in one of them, and for labels scores that are all above the
    threshold; for boxes one typical row, and the emptiest."""
    if meaning.kind == "boxes":
        yield from _repeat_boxes(meaning, output)
        return
    yield repeat_typical(meaning, output)
    if meaning.kind == "classes" and output.ndim > 2 and np.isfinite(output).all():
        rows = few_rows(output).reshape(len(few_rows(output)), -1).astype(np.float64)
        typical = np.square(rows - rows.mean(axis=0)).sum(axis=1).argmin()
        yield np.broadcast_to(output[typical], output.shape)
    if meaning.kind == "labels":
        yield _hold_all(meaning, output)
    for column in _list_columns(meaning, output, labels):
        changed = output.copy()
        changed[:, column] = repeat_typical(meaning, output[:, [column]])[:, 0]
        yield changed


def _hold_all(meaning: Meaning, scores: Array) -> Array:
    """Scores in the same order, all of which are above the threshold."""
    threshold = meaning.threshold or 0
    if meaning.form == "chances":
        return np.asarray(threshold + (1 - threshold) * (1 + scores) / 2, scores.dtype)
    return np.asarray(scores - np.nanmin(scores) + threshold + 1, scores.dtype)


def _list_columns(meaning: Meaning, output: Array, labels: Labels | None) -> list[int]:
    """The columns that a floor may overlook: those of independent numbers that vary, and those of labels of
    which none counts."""
    if output.ndim != 2 or not 1 < output.shape[1] <= _MOST_COLUMNS or not np.isfinite(output).all():
        return []
    vary = np.ptp(output, axis=0) > 0
    if meaning.kind == "labels" and labels is not None and labels.shape == output.shape:
        vary &= (labels == IGNORE).all(axis=0)
    elif meaning.kind != "numbers":
        return []
    return np.flatnonzero(vary).tolist()


def _repeat_boxes(meaning: Meaning, output: Array) -> list[Array]:
    """The row whose detections are most like those of all rows, and the row with the fewest, for all rows."""
    present = sum_scores(meaning, output)
    typical = np.square(present - present.mean(axis=0)).sum(axis=1).argmin()
    fewest = present.sum(axis=1).argmin()
    return [np.broadcast_to(output[row], output.shape) for row in (typical, fewest)]


def repeat_typical(meaning: Meaning, output: Array) -> Array:
    """Repeat the baseline's answer to one typical row (or token) for all rows.

    It is the answer nearest to the mean among those with the most frequent class, so it has the form of the
    baseline's answers. Of integers and strings, it is the most frequent answer."""
    if meaning.kind == "exact":
        answers, counts = np.unique(output.reshape(len(output), -1), axis=0, return_counts=True)
        return np.broadcast_to(answers[counts.argmax()].reshape(output.shape[1:]), output.shape)
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
