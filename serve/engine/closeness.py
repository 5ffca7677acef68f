"""Closeness: how near two answers are, in numbers: of numbers, of vectors, and of shares of classes. Pure."""

import numpy as np
from numpy.typing import NDArray

from serve.bundles.criterion import APART, CLOSE, FAR
from serve.bundles.figures import Meaning
from serve.engine.meaning import are_shares

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
# Of a number, which is no difference but its rounding.
_ROUNDING = 1e-5
# A smaller share of a class counts as this one, so that a divergence is a number that can be added up: of
# scores, and of shares that came as such, in 32 bits.
LEAST_SHARE = 1e-12
_LEAST_GIVEN = float(np.finfo(np.float32).eps)


def are_close(meaning: Meaning, before: Floats, after: Floats) -> Bools:
    """Which rows hold the same numbers, near enough; [rows]."""
    rows, width = len(before), before.shape[-1] if before.ndim > 1 else 1
    one, other = (each.reshape(rows, -1, width) for each in (before, after))
    missing = np.isnan(one)
    apart = np.where((one == other) | missing, 0.0, np.abs(one - other))
    size = np.maximum(np.abs(one), np.abs(other))
    if not meaning.spread:
        # An infinity is within a twentieth of itself.
        near = (apart <= CLOSE * size) & (np.isfinite(other) | (apart == 0))
        return np.asarray(near.all(axis=(1, 2)) & ~missing.all(axis=(1, 2)))
    apart[(apart <= _ROUNDING * size) & np.isfinite(apart)] = 0
    scale = _scale_of(meaning, width)
    off = np.where(apart == 0, 0.0, apart / scale) ** 2
    # Each place of the last dimension has to be right by itself where it has a scale of its own.
    axes = (1,) if len(scale) == width else (1, 2)
    mean = off.sum(axis=axes) / np.maximum((~missing).sum(axis=axes), 1)
    return np.asarray((np.sqrt(mean).reshape(rows, -1) <= FAR).all(axis=1) & ~missing.all(axis=(1, 2)))


def are_apart(meaning: Meaning, before: Floats, after: Floats) -> Bools:
    """Which scores [..., width] are apart as numbers: in root mean square over the last dimension, each place
    on the scale of its `spread`."""
    off = np.where(before == after, 0.0, after - before) / _scale_of(meaning, before.shape[-1])
    # Written so that what is no number is apart.
    return np.asarray(~(np.sqrt(np.square(off).mean(axis=-1)) <= APART))


def cosine_of(before: Floats, after: Floats) -> Floats:
    """The cosine between the two vectors of each row, [rows] of two arrays [rows, width]: exactly 1 where
    they are the same (both zero, too), and 0 where only one of them is zero."""
    scale = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    dots = np.einsum("ij,ij->i", before, after)
    cosine = np.clip(dots / np.where(scale > 0, scale, 1.0), -1.0, 1.0)
    return np.where((before == after).all(axis=1), 1.0, cosine)


def centred(meaning: Meaning, vectors: Floats) -> Floats:
    """The vectors, [rows, width], less what the baseline's have in common: where that is most of them, the
    cosine says little of how two rows differ."""
    if len(meaning.centre) != vectors.shape[-1]:
        return vectors
    return np.asarray(vectors - np.asarray(meaning.centre))


def divergence(meaning: Meaning, before: Floats, after: Floats) -> Floats:
    """KL(before || after) over the last dimension; both are taken for what the baseline's are."""
    given = are_shares(before) if meaning.form == "unknown" else np.asarray(meaning.form == "shares")
    log_p, log_q = log_shares(before, given), log_shares(after, given)
    return np.asarray(np.maximum((np.exp(log_p) * (log_p - log_q)).sum(axis=-1), 0.0))


def _scale_of(meaning: Meaning, width: int) -> Floats:
    """The spread of each of so many places, or the one of all."""
    return np.asarray(meaning.spread if len(meaning.spread) == width else meaning.spread[:1])


def log_shares(scores: Floats, given: Bools) -> Floats:
    """Logs of the classes' shares, [..., classes]: the logs of scores that are `given` as shares, [...], and
    the log softmax of others. None is below log(LEAST_SHARE).

    It gives the numbers of scipy.special.log_softmax, which takes 3 to 4 times as long for the few rows of a
    request."""
    logs = np.where(given[..., None], np.log(np.maximum(scores, _LEAST_GIVEN)), scores)
    shifted = logs - logs.max(axis=-1, keepdims=True)
    softmax = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return np.asarray(np.maximum(softmax, np.log(LEAST_SHARE)))
