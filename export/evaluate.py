"""Evaluate: what a variant is worth on the held-out split, and whether that is above the floor."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score

from export.datasets import Labels, Split
from export.errors import ExportFailed
from export.recipe import Floor, Share
from serve.record import Record
from serve.session import Session

_BATCH_ROWS = 64
# Shares that differ by less than this differ by rounding alone.
_ROUNDING = 1e-9


class Quality(Record):
    """How well a variant answers the held-out rows."""

    accuracy: Share
    macro_f1: Share
    # Share of rows on which the top class is the baseline's.
    agreement: Share


def predict(session: Session, split: Split) -> Labels:
    """The top class of the first output for every row. Raises ExportFailed when it is not a number."""
    output = session.bundle.signature.output_names[0]
    classes = []
    for start in range(0, len(split), _BATCH_ROWS):
        rows = np.arange(start, min(start + _BATCH_ROWS, len(split)))
        scores: NDArray[np.generic] = session.run(split.take(rows))[output]
        if not np.isfinite(scores).all():
            raise ExportFailed(
                f"{session.bundle.variant} answers held-out rows {start} to {rows[-1]} with NaN or infinity; "
                "the model overflows on real input"
            )
        classes.append(np.argmax(scores, axis=1))
    return np.concatenate(classes)


def measure(predicted: Labels, baseline: Labels, labels: Labels) -> Quality:
    """The figures of a variant that predicted these classes where its baseline predicted those."""
    return Quality(
        accuracy=float(accuracy_score(labels, predicted)),
        macro_f1=float(f1_score(labels, predicted, average="macro", zero_division=0)),
        agreement=float(np.mean(predicted == baseline)),
    )


def judge(floor: Floor, figures: Quality, baseline: Quality) -> str | None:
    """Why the floor refuses a variant with these figures, in words and numbers; None: it does not."""
    reasons = []
    for name, allowed in (("accuracy", floor.accuracy_drop), ("macro_f1", floor.macro_f1_drop)):
        came, expected = getattr(figures, name), getattr(baseline, name)
        if expected - came > allowed + _ROUNDING:
            reasons.append(
                f"{name} {came:.4f} is {expected - came:.4f} below the baseline's {expected:.4f}, "
                f"allowed are {allowed:.4f}"
            )
    if figures.agreement < floor.agreement - _ROUNDING:
        reasons.append(
            f"agreement with the baseline {figures.agreement:.4f} is below the least allowed "
            f"{floor.agreement:.4f}"
        )
    return "; ".join(reasons) or None
