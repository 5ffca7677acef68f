"""What can go wrong on the way from a trained model to a bundle."""

import traceback
from pathlib import Path

from serve.base.errors import CounterweightError

_MOST_CHARACTERS = 400
_ROOT = Path(__file__).parents[1]


class InvalidSource(CounterweightError):
    """The model's factory or checkpoint is not what the recipe says."""


class InvalidData(CounterweightError):
    """The data that the recipe names cannot prove anything."""


class ExportFailed(CounterweightError):
    """The torch model has no faithful ONNX graph, or the bundle cannot be written."""


class StepFailed(CounterweightError):
    """One step of one variant did not do what the recipe asks."""


def reason_of(error: BaseException) -> str:
    """What a library's error says, on one line: its first line, and those after it where that one only
    announces them."""
    lines = [" ".join(line.split()) for line in str(error).splitlines()]
    lines = [line for line in lines if line] or [type(error).__name__]
    count = 1
    while count < len(lines) and lines[count - 1].endswith((":", ",", "(", "...")):
        count += 1
    reason = " ".join(lines[:count]).rstrip(" .:")
    return reason if len(reason) <= _MOST_CHARACTERS else f"{reason[:_MOST_CHARACTERS]}..."


def describe_surprise(error: BaseException) -> str:
    """What nobody has foreseen, in one sentence with the place in this code that it came from."""
    frames = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)]
    ours = [
        f"{path.relative_to(_ROOT)}:{line}"
        for path, line in zip(frames, lines, strict=True)
        if path.is_relative_to(_ROOT / "export")
    ]
    place = " > ".join(ours[-3:]) or "an unknown place"
    return (
        f"{type(error).__name__}: {reason_of(error)} (at {place}); nobody has foreseen this: please report "
        "it, with the recipe"
    )
