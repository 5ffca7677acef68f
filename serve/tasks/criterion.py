"""When the answers of two variants are the same, explained in the notes below a table."""

from collections.abc import Mapping, Sequence

from serve.bundles.figures import Explained, MetricFigure, Quality
from serve.bundles.meaning import Meaning, Task
from serve.tasks.detections import IOU, LEAST_SCORE
from serve.tasks.rank_order import TOP
from serve.tasks.task_table import FIGURES, TASKS

# Two numbers differ if they are apart by more than this share of the standard deviation of the baseline's
# answers;
FAR = 0.2
# or, if that was not measured, by more than this share of the larger one.
CLOSE = 0.05
# Outputs that may be numbers differ if they are further apart than this many standard deviations.
APART = 1.0
# Two embeddings differ if their cosine is lower than this.
ALIKE = 0.95
# A variant of embeddings that keeps fewer nearest neighbours than this share finds other things in a search.
_KEPT = 0.8
_NEIGHBOURS = (
    "neighbours: the share of the rows whose nearest other held-out row, by the cosine of their embeddings, "
    "is the same as with the baseline"
)
_CENTRED = ", each minus the mean of the baseline's, because those share most of their direction"

_VALUES = {
    "exact": "exactly the baseline's values",
    "state": "any values, because they are state for the next request",
}


def explain_likeness(quality: Quality) -> list[str]:
    """Notes on what agreement (or cosine) compares, and why a correlation is required; empty if nothing was
    measured, or the bundle is from an older export."""
    outputs = quality.outputs
    if not outputs:
        return []
    words = [
        _explain_cosine(outputs[0].meaning)
        if quality.agreement is None
        else explain_agreement(quality.task, {item.name: item.meaning for item in outputs})
    ]
    if quality.neighbours is not None:
        words.append(_NEIGHBOURS)
    if quality.metric is not None:
        words.append(_explain_metric(quality.metric))
    if quality.explained is not None:
        words.append(_explain_explanations(quality.explained))
    followed = [item.name for item in outputs if item.correlation is not None]
    if followed:
        words.append(
            f"correlation of {_list(followed)}: over the rows, between the variant's and the baseline's "
            "numbers; required because a variant with the same answer to every row would otherwise pass "
            "the floor"
        )
    words += [f"{FIGURES[name].heading} has no value: {why}" for name, why in quality.undefined.items()]
    return words


def warn_of_neighbours(quality: Quality) -> str | None:
    """Say that a variant's embeddings have other nearest neighbours, which the cosine may not show; None if
    they have not."""
    kept = quality.neighbours
    if kept is None or kept.high >= _KEPT:
        return None
    return (
        f"only {kept.value:.1%} of the rows keep their nearest neighbour, so a search finds other rows than "
        "with the baseline, whatever the cosine is; limit rank_correlation in the floor, too"
    )


def _explain_cosine(meaning: Meaning) -> str:
    words = "cosine: the mean over the rows of the cosine between the variant's and the baseline's embedding"
    return words + (_CENTRED if meaning.centre else "")


def _explain_metric(figure: MetricFigure) -> str:
    interval = (
        "the mean of one value per row"
        if figure.draws is None
        else f"a figure of all rows, whose intervals are from {figure.draws:,} draws of the rows"
    )
    return f"metric: `{figure.function}`, {figure.better} is better; {interval}"


def _explain_explanations(figures: Explained) -> str:
    return (
        f"explanation overlap: over {figures.rows:,} rows, the mean share of the {figures.top} most "
        f"important of {figures.features} features that are the baseline's; explanation rank: the mean rank "
        "correlation of the effects of all features; both less the A/A floor "
        f"({figures.floor_overlap:.4f} and {figures.floor_rank:.4f})"
    )


def explain_agreement(task: Task, meanings: Mapping[str, Meaning]) -> str:
    """What the agreement of a model with these outputs is a share of, and when two answers agree."""
    what = TASKS[task].item
    [first, *others] = meanings.values()
    if task == "binary" and not others:
        threshold = first.threshold or 0.0
        return (
            f"agreement: the share of rows whose score is on the same side of {threshold:g} as the baseline's"
        )
    if not others:
        return f"agreement: the share of {what} with {_explain(first)}"
    groups: dict[str, list[str]] = {}
    for name, meaning in meanings.items():
        groups.setdefault(_explain(meaning), []).append(name)
    each = "; ".join(f"of {_list(names)} {words}" for words, names in groups.items())
    return f"agreement: the share of {what} on which all outputs agree: {each}"


def _explain(meaning: Meaning) -> str:
    match meaning.kind:
        case "labels":
            return f"the set of labels of the baseline, which are the scores above {meaning.threshold:g}"
        case "vectors":
            return f"a cosine of at least {ALIKE} to the baseline{_CENTRED if meaning.centre else ''}"
        case "ranks":
            return f"the {meaning.top or TOP} highest scores in the order of the baseline"
        case "exact" | "state":
            return _VALUES[meaning.kind]
    longer = {"classes": _explain_classes, "boxes": _explain_boxes, "numbers": _explain_numbers}
    return longer[meaning.kind](meaning)


def _explain_classes(meaning: Meaning) -> str:
    top = "the top class of the baseline"
    if not meaning.spread:
        return top
    return (
        f"{top} and numbers within {APART:g} standard deviation of the baseline's, because the recipe does "
        "not say that they are scores of classes"
    )


def _explain_boxes(meaning: Meaning) -> str:
    least, iou = (
        default if value is None else value
        for value, default in ((meaning.least_score, LEAST_SCORE), (meaning.iou, IOU))
    )
    return (
        f"the detections of the baseline: each with a score of at least {least:g} has one of the same class "
        f"that overlaps it by {iou:g} or more (intersection over union)"
    )


def _explain_numbers(meaning: Meaning) -> str:
    if meaning.abs is not None or meaning.rel is not None:
        words = [f"{meaning.abs:g}"] if meaning.abs is not None else []
        words += [f"{100 * meaning.rel:g}% of the baseline's size"] if meaning.rel is not None else []
        return f"every number within {' plus '.join(words)} of the baseline's"
    if meaning.spread:
        return f"numbers within {FAR} standard deviations of the baseline's"
    return f"numbers within {CLOSE:.0%} of the baseline's"


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
