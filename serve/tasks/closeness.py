"""Numeric measures of how close two answers are: of numbers, vectors, and class distributions. Pure."""

import numpy as np
from numpy.typing import NDArray

from serve.bundles.meaning import Meaning
from serve.tasks.answer_form import are_shares
from serve.tasks.criterion import APART, CLOSE, FAR
from serve.tasks.spread import by_place, scale_of

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
# A relative difference below this is rounding.
_ROUNDING = 1e-5
# The smallest share of a class in a KL divergence, which keeps it finite: for shares computed from scores,
# and for shares that the model returns in 32 bits.
LEAST_SHARE = 1e-12
_LEAST_GIVEN = float(np.finfo(np.float32).eps)


def are_close(meaning: Meaning, before: Floats, after: Floats) -> Bools:
    """Which rows have nearly equal numbers, [rows]."""
    scale = scale_of(meaning, before.shape)
    one, other = (by_place(scale, each) for each in (before, after))
    missing = np.isnan(one)
    apart = np.where((one == other) | missing, 0.0, np.abs(one - other))
    size = np.maximum(np.abs(one), np.abs(other))
    declared = meaning.abs is not None or meaning.rel is not None
    if declared or not meaning.spread:
        allowed = (meaning.abs or 0) + (meaning.rel or 0) * np.abs(one) if declared else CLOSE * size
        # An infinity is close only to itself.
        near = (apart == 0) | ((apart <= allowed) & np.isfinite(apart))
        return np.asarray(near.all(axis=(1, 2)) & ~missing.all(axis=(1, 2)))
    apart[(apart <= _ROUNDING * size) & np.isfinite(apart)] = 0
    off = np.where(apart == 0, 0.0, apart / scale.reshape(-1)) ** 2
    # Each place that has its own scale must be close by itself.
    mean = off.sum(axis=1) / np.maximum((~missing).sum(axis=1), 1)
    return np.asarray((np.sqrt(mean) <= FAR).all(axis=1) & ~missing.all(axis=(1, 2)))


def are_apart(meaning: Meaning, before: Floats, after: Floats) -> Bools:
    """Which scores, [rows, ..., width], are far apart as numbers: in root mean square over the last
    dimension, each place scaled by its `spread`."""
    off = np.where(before == after, 0.0, after - before) / scale_of(meaning, before.shape)
    # Negated, so that NaN counts as apart.
    return np.asarray(~(np.sqrt(np.square(off).mean(axis=-1)) <= APART))


def cosine_of(before: Floats, after: Floats) -> Floats:
    """The cosine of the two vectors in each row, [rows], for arrays [rows, width]: exactly 1 if they are
    equal (also if both are 0), and 0 if only one of them is 0."""
    scale = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    dots = np.einsum("ij,ij->i", before, after)
    cosine = np.clip(dots / np.where(scale > 0, scale, 1.0), -1.0, 1.0)
    return np.where((before == after).all(axis=1), 1.0, cosine)


def centred(meaning: Meaning, vectors: Floats) -> Floats:
    """Return the vectors, [rows, width], minus the centre of the baseline's, if they have one: without this,
    the cosine says little about how two rows differ."""
    if len(meaning.centre) != vectors.shape[-1]:
        return vectors
    return np.asarray(vectors - np.asarray(meaning.centre))


def divergence(meaning: Meaning, before: Floats, after: Floats) -> Floats:
    """KL(before || after) over the last dimension, in nats; both are read in the form of the baseline's."""
    given = are_shares(before) if meaning.form == "unknown" else np.asarray(meaning.form == "shares")
    log_p, log_q = log_shares(before, given), log_shares(after, given)
    return np.asarray(np.maximum((np.exp(log_p) * (log_p - log_q)).sum(axis=-1), 0.0))


def log_shares(scores: Floats, given: Bools) -> Floats:
    """The logarithms of class shares, [..., classes]: the logs of scores that are `given` as shares, [...],
    and the log softmax of others. No value is below log(LEAST_SHARE).

    The numbers equal those of scipy.special.log_softmax, which takes 3 to 4 times as long for the few rows of
    a request."""
    logs = np.where(given[..., None], np.log(np.maximum(scores, _LEAST_GIVEN)), scores)
    shifted = logs - logs.max(axis=-1, keepdims=True)
    softmax = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return np.asarray(np.maximum(softmax, np.log(LEAST_SHARE)))
