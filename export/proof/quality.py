"""Measures the quality of a variant's answers to the held-out rows against its baseline, with intervals."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.data.labels import IGNORE, Labels
from export.proof.bootstrap import CONFIDENCE, Floats, mean_intervals
from export.proof.by_label.average_precision import compare_detections
from export.proof.by_label.error_metrics import compare_errors
from export.proof.by_label.label_fit import explain_undefined
from export.proof.by_label.label_sets import compare_label_sets
from export.proof.by_label.query_metrics import compare_rankings
from export.proof.confusion import count_confusions
from export.proof.embedding_similarity import mean_cosine, neighbour_agreement, rank_correlation
from export.proof.label_metrics import Items, compare_by_labels
from export.proof.output_quality import compare_all, estimate_agreement, few_rows
from serve.bundles.figures import Compared, DisagreeingRow, Estimate, Quality
from serve.bundles.meaning import Meaning, Task
from serve.tasks.answer_form import classes_last, read_meaning
from serve.tasks.closeness import centred, log_shares
from serve.tasks.compare_outputs import Differences
from serve.tasks.rank_order import TOP
from serve.tasks.task_table import TASKS

Array = NDArray[Any]
_DISAGREEMENTS = 12


def measure(  # noqa: PLR0913 - what came, and what is known of it
    task: Task,
    baseline_answers: Array,
    answers: Array,
    labels: Labels | None,
    seed: int,
    *,
    meaning: Meaning | None = None,
) -> Quality:
    """Return the metrics of a variant's first output.

    The baseline itself (the same array) differs from itself by 0, without an interval.

    Args:
        task: the recipe's task
        baseline_answers: the baseline's first output, [rows, ...]
        answers: the variant's first output, [rows, ...]
        labels: the labels of the task, such as true classes, [rows] or [rows, tokens]; None without labels
        seed: seed of the bootstrap
        meaning: the kind of output; None: it is inferred from the baseline's answers
    """
    if TASKS[task].rule == "vectors":
        meaning = meaning or read_meaning(task, few_rows(baseline_answers))
        quality = _measure_embeddings(task, meaning, baseline_answers, answers, seed)
    else:
        meaning = meaning or read_meaning(task, few_rows(baseline_answers), labelled=labels is not None)
        quality = _measure_agreement(task, meaning, (baseline_answers, answers), labels, seed)
    return _without_doubt(quality) if answers is baseline_answers else quality


def _measure_agreement(
    task: Task, meaning: Meaning, answers: tuple[Array, Array], labels: Labels | None, seed: int
) -> Quality:
    """Return the agreement with the baseline, and the figures that the labels give."""
    differences = compare_all(task, meaning, *answers)
    of_classes = meaning.kind == TASKS[task].rule == "classes"
    if of_classes:
        answers = _list_items(meaning, answers[0]), _list_items(meaning, answers[1])
        if labels is not None and labels.ndim > 1:
            labels = labels.reshape(len(labels), -1)
        differences = replace(differences, counted=_counted(answers[0], labels))
    quality = Quality(
        task=task,
        rows=len(answers[1]),
        confidence=CONFIDENCE,
        agreement=estimate_agreement(differences),
    )
    if of_classes:
        found = _measure_classes(task, meaning, differences, answers, labels, seed=seed)
        return quality.model_copy(update=found)
    if labels is not None:
        figures = _measure_labels(task, meaning, labels, answers, seed)
        return quality.model_copy(update={**figures, "undefined": explain_undefined(task, labels)})
    return quality


def _measure_labels(
    task: Task, meaning: Meaning, labels: Labels, answers: tuple[Array, Array], seed: int
) -> Mapping[str, Compared | None]:
    """Return the figures that labels of rows other than classes give, by name."""
    kind = TASKS[task].label_type
    if kind == "boxes":
        return compare_detections(meaning, labels, *answers, seed)
    baseline, variant = (each.astype(np.float64) for each in answers)
    if kind == "relevance":
        return compare_rankings(labels, baseline, variant, meaning.top or TOP, seed)
    if kind == "number":
        return compare_errors(labels, baseline, variant, seed)
    return compare_label_sets(labels, baseline, variant, meaning.threshold or 0, seed)


def _measure_embeddings(task: Task, meaning: Meaning, baseline: Array, variant: Array, seed: int) -> Quality:
    before, after = baseline.astype(np.float64), variant.astype(np.float64)
    return Quality(
        task=task,
        rows=len(before),
        confidence=CONFIDENCE,
        cosine=mean_cosine(centred(meaning, before), centred(meaning, after), seed),
        rank_correlation=rank_correlation(before, after, seed),
        neighbours=neighbour_agreement(before, after, seed),
    )


def _list_items(meaning: Meaning, scores: Array) -> Floats:
    """The scores with their classes last and all items of a row in one dimension, [rows, classes] or
    [rows, items, classes]."""
    scores = classes_last(meaning, scores.astype(np.float64))
    return scores if scores.ndim < 4 else scores.reshape(len(scores), -1, scores.shape[-1])


def _measure_classes(  # noqa: PLR0913 - what came, and what is known of it
    task: Task,
    meaning: Meaning,
    differences: Differences,
    answers: tuple[Floats, Floats],
    labels: Labels | None,
    *,
    seed: int,
) -> dict[str, Any]:
    """Return the metrics that only class scores have, by name."""
    counted = differences.counted
    assert counted is not None, "the caller has said which"
    row = np.nonzero(counted)[0]
    scores, others = (item[counted] for item in answers)
    traits = TASKS[task]
    items = Items(
        maps=traits.label_type == "map",
        rows=len(counted),
        row=row,
        baseline=scores.argmax(axis=1),
        variant=others.argmax(axis=1),
    )
    known = None if labels is None else labels[:, : counted.shape[1]][counted] if labels.ndim > 1 else labels
    figures: dict[str, Any] = {
        "kl": None if differences.row_kl is None else _divergence(differences.row_kl, counted, seed),
        "disagreements": _disagreements(items, known),
        "confusions": count_confusions(items.baseline, items.variant),
    }
    if known is None:
        return figures
    losses = None
    if meaning.form != "chances" and "loss" in traits.by_labels:
        given = np.asarray(meaning.form == "shares")
        each = np.arange(len(known))
        losses = -log_shares(scores, given)[each, known], -log_shares(others, given)[each, known]
    labelled = vars(compare_by_labels(items, known, losses, seed))
    known_figures = (*traits.by_labels, "worst_label", "classes")
    return figures | {name: value for name, value in labelled.items() if name in known_figures}


def _counted(answers: Array, labels: Labels | None) -> NDArray[np.bool_]:
    """Return a mask of the answers that count, [rows] or [rows, tokens]: those with a label, or all that
    exist if there are no labels."""
    exist: NDArray[np.bool_] = ~np.isnan(answers[..., 0])
    if labels is None or exist.ndim == 1:
        return exist
    exist[:, : labels.shape[1]] &= labels[:, : exist.shape[1]] != IGNORE
    exist[:, labels.shape[1] :] = False
    return exist


def _divergence(row_kl: Floats, counted: NDArray[np.bool_], seed: int) -> Estimate:
    """Return the mean KL divergence over the rows with an answer, as in a shadow's comparison."""
    divergence = row_kl[counted.reshape(len(counted), -1).any(axis=1)]
    [(low, high)] = mean_intervals(divergence[:, None], np.ones(len(divergence)), seed)
    mean = float(divergence.mean())
    return Estimate(value=mean, low=min(low, mean), high=max(high, mean))


def _disagreements(items: Items, labels: NDArray[np.int64] | None) -> tuple[DisagreeingRow, ...]:
    """Return the first rows that differ, each by its first differing item."""
    differ = np.flatnonzero(items.baseline != items.variant)
    rows, first = np.unique(items.row[differ], return_index=True)
    return tuple(
        DisagreeingRow(
            row=int(row),
            label=None if labels is None else int(labels[item]),
            baseline=int(items.baseline[item]),
            variant=int(items.variant[item]),
        )
        for row, item in zip(rows[:_DISAGREEMENTS], differ[first], strict=False)
    )


def _without_doubt(quality: Quality) -> Quality:
    """Remove the intervals, because the baseline compared with itself is not an estimate."""
    certain: dict[str, Compared | Estimate] = {}
    for name in type(quality).model_fields:
        figure = getattr(quality, name)
        if isinstance(figure, Compared):
            certain[name] = Compared(value=figure.value, change=0, low=0, high=0)
        elif isinstance(figure, Estimate):
            value = 0.0 if name == "kl" else 1.0
            certain[name] = Estimate(value=value, low=value, high=value)
    return quality.model_copy(update=certain)
