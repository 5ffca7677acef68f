"""Top class: what an answer says, where it says one class."""

from serve.joining import Outputs


def top_class(outputs: Outputs) -> int | None:
    """The class with the highest score in the first output that is one row of scores; None: there is none."""
    for scores in outputs.values():
        if scores.dtype.kind == "f" and scores.ndim == 2 and scores.shape[0] == 1 and scores.shape[1] > 1:
            return int(scores[0].argmax())
    return None
