"""Quality: how well a variant answers the held-out rows beside its baseline, with intervals."""

import numpy as np
from numpy.typing import NDArray

from export.data.labels import IGNORE, Labels
from export.proof.bootstrap import CONFIDENCE, Floats, mean_intervals, share_interval
from export.proof.held_out import Answers
from export.proof.labelled import Items, compare_by_labels
from export.proof.likeness import mean_cosine, rank_correlation
from serve.figures import Compared, Disagreement, Estimate, Quality, Task

_DISAGREEMENTS = 12
# Scores that add up to 1 this closely are probabilities already.
_ROUNDING = 1e-3
_LEAST_PROBABILITY = float(np.finfo(np.float32).eps)


def measure(
    task: Task, baseline_answers: Answers, answers: Answers, labels: Labels | None, seed: int
) -> Quality:
    """The figures of a variant that gave these answers where its baseline gave those, both [rows, ...].

    The baseline itself (the very same array) differs from itself by 0, without an interval."""
    if task == "embedding":
        quality = _measure_embeddings(baseline_answers, answers, seed)
    else:
        quality = _measure_classes(task, baseline_answers, answers, labels, seed)
    return _without_doubt(quality) if answers is baseline_answers else quality


def _measure_embeddings(baseline: Answers, variant: Answers, seed: int) -> Quality:
    before, after = baseline.astype(np.float64), variant.astype(np.float64)
    return Quality(
        task="embedding",
        rows=len(before),
        confidence=CONFIDENCE,
        cosine=mean_cosine(before, after, seed),
        rank_correlation=rank_correlation(before, after, seed),
    )


def _measure_classes(
    task: Task, baseline: Answers, variant: Answers, labels: Labels | None, seed: int
) -> Quality:
    counted = _counted(baseline, labels)
    row = np.nonzero(counted)[0]
    # In double precision: the divergence of two near variants is a small difference of large numbers.
    scores, others = (item[counted].astype(np.float64) for item in (baseline, variant))
    items = Items(rows=len(baseline), row=row, baseline=scores.argmax(axis=1), variant=others.argmax(axis=1))
    are_shares = _are_probabilities(scores)
    before, after = _log_probabilities(scores, are_shares), _log_probabilities(others, are_shares)
    known = None if labels is None else labels[:, : counted.shape[1]][counted] if labels.ndim > 1 else labels
    figures = Quality(
        task=task,
        rows=len(baseline),
        confidence=CONFIDENCE,
        agreement=_agreement(items),
        kl_divergence=_divergence(items, before, after, seed),
        disagreements=_disagreements(items, known),
    )
    if known is None:
        return figures
    each = np.arange(len(known))
    losses = -before[each, known], -after[each, known]
    return figures.model_copy(update=vars(compare_by_labels(items, known, losses, seed)))


def _counted(answers: Answers, labels: Labels | None) -> NDArray[np.bool_]:
    """Which answers count, [rows] or [rows, tokens]: those with a label, or else all that exist."""
    exist: NDArray[np.bool_] = ~np.isnan(answers[..., 0])
    if labels is None or exist.ndim == 1:
        return exist
    exist[:, : labels.shape[1]] &= labels[:, : exist.shape[1]] != IGNORE
    exist[:, labels.shape[1] :] = False
    return exist


def _are_probabilities(scores: Floats) -> bool:
    return bool((scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=_ROUNDING))


def _log_probabilities(scores: Floats, are_shares: bool) -> Floats:
    if are_shares:
        logs: Floats = np.log(np.maximum(scores, _LEAST_PROBABILITY))
    else:
        logs = scores
    shifted = logs - logs.max(axis=1, keepdims=True)
    normal: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normal


def _agreement(items: Items) -> Estimate:
    agree = (items.baseline == items.variant).astype(np.float64)
    low, high = share_interval(items.per_row(agree), items.per_row(np.ones(len(agree))))
    return Estimate(value=float(agree.mean()), low=low, high=high)


def _divergence(items: Items, before: Floats, after: Floats, seed: int) -> Estimate:
    # Never below 0 but for rounding.
    divergence = np.maximum(0, (np.exp(before) * (before - after)).sum(axis=1))
    counts = items.per_row(np.ones(len(divergence)))
    [(low, high)] = mean_intervals(items.per_row(divergence)[:, None], counts, seed)
    mean = float(divergence.mean())
    return Estimate(value=mean, low=min(low, mean), high=max(high, mean))


def _disagreements(items: Items, labels: NDArray[np.int64] | None) -> tuple[Disagreement, ...]:
    """The first row for row, each by its first item."""
    differ = np.flatnonzero(items.baseline != items.variant)
    rows, first = np.unique(items.row[differ], return_index=True)
    return tuple(
        Disagreement(
            row=int(row),
            label=None if labels is None else int(labels[item]),
            baseline=int(items.baseline[item]),
            variant=int(items.variant[item]),
        )
        for row, item in zip(rows[:_DISAGREEMENTS], differ[first], strict=False)
    )


def _without_doubt(quality: Quality) -> Quality:
    """The same figures without intervals: a variant beside itself is no estimate."""
    certain: dict[str, Compared | Estimate] = {}
    for name in type(quality).model_fields:
        figure = getattr(quality, name)
        if isinstance(figure, Compared):
            certain[name] = Compared(value=figure.value, change=0, low=0, high=0)
        elif isinstance(figure, Estimate):
            value = 0.0 if name == "kl_divergence" else 1.0
            certain[name] = Estimate(value=value, low=value, high=value)
    return quality.model_copy(update=certain)
