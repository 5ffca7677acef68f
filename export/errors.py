"""The errors on the way from a trained model to a bundle."""

import traceback
from pathlib import Path

from serve.base.errors import CounterweightError

_MOST_CHARACTERS = 400
_ROOT = Path(__file__).parents[1]


class InvalidSource(CounterweightError):
    """Raised when the model's factory, checkpoint or file does not match the recipe."""


class InvalidData(CounterweightError):
    """Raised when the recipe's data cannot be used."""


class ExportFailed(CounterweightError):
    """Raised when a model cannot be converted to a faithful ONNX graph, or a bundle cannot be written."""


class StepFailed(CounterweightError):
    """Raised when a step of a variant cannot do what the recipe asks for."""


def reason_of(error: BaseException) -> str:
    """Return a library's error message on one line: its first line, with the following ones if the first only
    announces them."""
    lines = [" ".join(line.split()) for line in str(error).splitlines()]
    lines = [line for line in lines if line] or [type(error).__name__]
    count = 1
    while count < len(lines) and lines[count - 1].endswith((":", ",", "(", "...")):
        count += 1
    reason = " ".join(lines[:count]).rstrip(" .:")
    return reason if len(reason) <= _MOST_CHARACTERS else f"{reason[:_MOST_CHARACTERS]}..."


def describe_surprise(error: BaseException) -> str:
    """Describe an unexpected error in one sentence, with the place in our code that it came from."""
    frames = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)]
    ours = [
        f"{path.relative_to(_ROOT)}:{line}"
        for path, line in zip(frames, lines, strict=True)
        if path.is_relative_to(_ROOT / "export")
    ]
    place = " > ".join(ours[-3:]) or "an unknown place"
    return (
        f"{type(error).__name__}: {reason_of(error)} (at {place}); this error was not expected: please "
        "report it, with the recipe"
    )
