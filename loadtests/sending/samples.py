"""Defines the samples of a run (the raw record of every request, in columns), and writes them to a file."""

import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve.base.atomic_file import replacing

# The error of a request without an answer by the end of the run.
UNANSWERED = "no answer by the end of the run"
# The index that means "none": no pin, no variant, no error.
NONE = -1


class Words:
    """Numbers strings, so that a million requests share the few different strings."""

    def __init__(self) -> None:
        self.known: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, word: str | None) -> int:
        """Return the number of a word; NONE for None."""
        if word is None:
            return NONE
        if word not in self._numbers:
            self._numbers[word] = len(self.known)
            self.known.append(word)
        return self._numbers[word]


@dataclass(frozen=True, kw_only=True)
class Samples:
    """One row per request, in order of the scheduled times.

    Times are in seconds from the start of the measurement; those of the warm-up are below 0."""

    intended_s: NDArray[np.float64]
    sent_s: NDArray[np.float64]
    # Time of the answer, right or wrong; for a request without an answer, the time when waiting ended.
    done_s: NDArray[np.float64]
    # Indices into `words`, or NONE: the requested variant, the variant that answered, the error.
    pinned: NDArray[np.int64]
    variant: NDArray[np.int64]
    error: NDArray[np.int64]
    # The HTTP status; 0 means no answer.
    status: NDArray[np.int64]
    words: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.intended_s)

    def where(self, chosen: NDArray[np.bool_]) -> "Samples":
        """Return these rows."""
        columns = {name: getattr(self, name)[chosen] for name in COLUMNS}
        return Samples(**columns, words=self.words)

    @property
    def latency_ms(self) -> NDArray[np.float64]:
        """Latency from the scheduled start to the answer, or to the end of waiting."""
        return (self.done_s - self.intended_s) * 1000

    @property
    def lateness_ms(self) -> NDArray[np.float64]:
        """Delay between the scheduled and the actual time of sending."""
        return (self.sent_s - self.intended_s) * 1000

    @property
    def unanswered(self) -> NDArray[np.bool_]:
        """Mask of the requests without an answer in time."""
        return np.equal(self.error, self._number(UNANSWERED))

    @property
    def right(self) -> NDArray[np.bool_]:
        """Mask of the requests with a right answer."""
        return np.equal(self.error, NONE)

    @property
    def timed(self) -> NDArray[np.bool_]:
        """Mask of the requests whose latency counts: those with a right answer, and those without any
        answer."""
        return self.right | self.unanswered

    def unanswered_at(self, at_s: float) -> int:
        """Return how many requests were in flight at that moment."""
        return int(((self.sent_s <= at_s) & (self.done_s > at_s)).sum())

    def of(self, variant: str) -> "Samples":
        """Return the requests that the variant answered, and those sent to it without an answer."""
        number = self._number(variant)
        return self.where((self.variant == number) | ((self.variant == NONE) & (self.pinned == number)))

    @property
    def names(self) -> list[str]:
        """The variants that were requested or answered."""
        return [self.words[number] for number in np.union1d(self.variant, self.pinned) if number != NONE]

    def _number(self, word: str) -> int:
        return self.words.index(word) if word in self.words else NONE - 1


# The columns of Samples with one row per request.
COLUMNS = ("intended_s", "sent_s", "done_s", "pinned", "variant", "error", "status")


class Recorder:
    """Records requests as they end."""

    def __init__(self) -> None:
        self._words = Words()
        self._times = array("d")
        self._numbers = array("q")

    def __len__(self) -> int:
        return len(self._times) // 3

    def note(
        self,
        *,
        times_s: tuple[float, float, float],
        pinned: str | None,
        variant: str | None = None,
        error: str | None = None,
        status: int = 0,
    ) -> None:
        """Record one request; `times_s` are the scheduled time, the time of sending and the time of the
        answer."""
        self._times.extend(times_s)
        number = self._words.number
        self._numbers.extend((number(pinned), number(variant), number(error), status))

    def samples(self) -> Samples:
        """Return the samples recorded so far."""
        times = np.array(self._times).reshape(-1, 3)
        numbers = np.array(self._numbers).reshape(-1, 4)
        order = np.argsort(times[:, 0], kind="stable")
        intended_s, sent_s, done_s = times[order].T
        pinned, variant, error, status = numbers[order].T
        return Samples(
            intended_s=intended_s,
            sent_s=sent_s,
            done_s=done_s,
            pinned=pinned,
            variant=variant,
            error=error,
            status=status,
            words=tuple(self._words.known),
        )


def write_records(path: Path, samples: Samples) -> None:
    """Write the samples as JSON Lines, completely or not at all."""
    with replacing(path) as file:
        file.writelines(json.dumps(row).encode() + b"\n" for row in _rows(samples))


def _rows(samples: Samples) -> Iterator[dict[str, Any]]:
    words = (*samples.words, None)
    columns = {name: getattr(samples, name).tolist() for name in COLUMNS}
    for row in zip(*columns.values(), strict=True):
        named = dict(zip(columns, row, strict=True))
        yield named | {name: words[named[name]] for name in ("pinned", "variant", "error")}
