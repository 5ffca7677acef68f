"""Losses between a student and its labels or its teacher."""

import torch
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cosine_similarity,
    cross_entropy,
    kl_div,
    log_softmax,
    normalize,
)

from export.data.labels import IGNORE
from serve.bundles.meaning import Meaning, Rule

# Tolerance for sums that should be one.
_NEARLY = 1e-3


def labels_loss(rule: Rule, output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the loss of an output that is compared by `rule`, for labels of its task."""
    if rule.kind == "numbers":
        return errors_loss(output, labels)
    if rule.kind == "labels":
        return flags_loss(as_log_odds(output, rule), labels)
    return classes_loss(output.movedim(rule.axis, -1), labels)


def errors_loss(numbers: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference of numbers and labels of the same size; labels that are NaN do not
    count."""
    wanted = labels.reshape(numbers.shape)
    counted = ~wanted.isnan()
    apart = torch.where(counted, numbers - wanted.nan_to_num(), 0)
    return apart.square().sum() / counted.sum().clamp(min=1)


def flags_loss(log_odds: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the binary cross-entropy of scores and labels (1 or 0) of the same size; labels of -100 do not
    count."""
    wanted = labels.reshape(log_odds.shape)
    counted = wanted != IGNORE
    each = binary_cross_entropy_with_logits(
        log_odds, wanted.clamp(min=0).to(log_odds.dtype), reduction="none"
    )
    return (each * counted).sum() / counted.sum().clamp(min=1)


def chances_loss(log_odds: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the mean KL(teacher || student) of independent chances, given as log odds, softened by the
    temperature T and multiplied by T^2."""
    target = (teacher / temperature).sigmoid()
    student, least = (
        binary_cross_entropy_with_logits(side / temperature, target) for side in (log_odds, teacher)
    )
    return temperature**2 * (student - least)


def as_log_odds(scores: torch.Tensor, rule: Rule) -> torch.Tensor:
    """Return the log odds of scores that are chances by the meaning `rule`; others are log odds already."""
    if isinstance(rule, Meaning) and rule.form == "chances":
        least = torch.finfo(scores.dtype).eps
        return scores.clamp(least, 1 - least).logit()
    return scores


def classes_loss(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of scores [..., classes] and labels [...]; labels of -100 do not count.

    Scores may have fewer tokens than the labels, because batches are cut to their longest row."""
    scores = as_logits(scores)
    if labels.ndim == 2 and scores.ndim == 3:
        labels = labels[:, : scores.shape[1]]
    total = cross_entropy(scores.flatten(0, -2), labels.flatten(), ignore_index=IGNORE, reduction="sum")
    # A batch may have no label that counts.
    return total / (labels != IGNORE).sum().clamp(min=1)


def logits_loss(
    scores: torch.Tensor, teacher: torch.Tensor, temperature: float, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Return KL(teacher || student) of scores [..., classes], softened by the temperature T and multiplied by
    T^2 so that gradients keep their size (Hinton et al., 2015).

    The mean is over rows, or over the tokens [rows, tokens] whose `mask` is not 0."""
    student, target = (log_softmax(as_logits(side) / temperature, dim=-1) for side in (scores, teacher))
    each = kl_div(student, target, reduction="none", log_target=True).sum(-1)
    return temperature**2 * _mean(each, mask)


def numbers_loss(
    numbers: torch.Tensor, teacher: torch.Tensor, spread: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the mean squared difference relative to the variance, of [rows, ..., places].

    `spread` is the standard deviation of each place, which is broadcast, or of all. Tokens [rows, tokens]
    whose `mask` is 0 do not count."""
    return _mean(((numbers - teacher) / spread).square().mean(-1), mask)


def as_logits(scores: torch.Tensor) -> torch.Tensor:
    """Return logits whose softmax gives the class shares: scores [..., classes] that already sum to one are
    replaced by their logarithms."""
    given = (scores >= 0).all(-1) & ((scores.sum(-1) - 1).abs() <= _NEARLY)
    logs = scores.clamp(min=torch.finfo(scores.dtype).eps).log()
    return torch.where(given[..., None], logs, scores)


def embeddings_loss(embeddings: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Return 1 - cosine, the mean over rows of [rows, width]."""
    return (1 - cosine_similarity(embeddings, teacher, dim=-1)).mean()


def similarities_loss(embeddings: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference between the cosine similarities of all pairs of rows of student and
    teacher."""
    one, other = (normalize(side, dim=-1) for side in (embeddings, teacher))
    rows = len(embeddings)
    # The diagonal is 1 for both.
    return (one @ one.T - other @ other.T).square().sum() / (rows * (rows - 1))


def hidden_loss(
    states: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the mean squared difference of a layer's output [rows, ..., width], relative to the teacher's
    mean square, so that the loss weight means the same in every model. Tokens [rows, tokens] whose `mask` is
    0 do not count."""
    difference, size = ((states - teacher).square(), teacher.square())
    if mask is None:
        return difference.mean() / size.mean()
    return _mean(difference.mean(-1), mask) / _mean(size.mean(-1), mask)


def attention_loss(maps: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return the squared distance between attention maps [rows, heads, tokens, tokens], as distributions of
    each query: the mean over heads and over the queries whose `mask` [rows, tokens] is not 0."""
    return _mean((maps - teacher).square().sum(-1).mean(1), mask)


def _mean(each: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    if mask is None:
        return each.mean()
    weights = mask.to(each.dtype)
    return (each * weights).sum() / weights.sum()
