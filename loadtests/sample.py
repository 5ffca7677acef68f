"""Sample: the raw record of one request, and the file of them."""

import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from loadtests.errors import LoadTestError


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One request. Times count from the start of the run."""

    intended_s: float
    sent_s: float
    # None: unanswered when the run was over.
    done_s: float | None = None
    # The variant asked for; None: the server's split decided.
    pinned: str | None
    # Who answered, as `model_version` says; None: the request failed.
    variant: str | None = None
    # The HTTP status; None: there was no answer.
    status: int | None = None
    # What was wrong; None: answered rightly.
    error: str | None

    @property
    def lateness_ms(self) -> float:
        """How long after its intended time the request was sent."""
        return (self.sent_s - self.intended_s) * 1000


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one run measured."""

    samples: tuple[Sample, ...]
    # False: it was ended early.
    complete: bool
    # From the first intended moment to the end of the last request.
    wall_s: float
    # CPU time of this process over that.
    cpu_s: float


def check_records_path(path: Path) -> None:
    """Raises LoadTestError, before the run, when no file can be written at `path`."""
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise LoadTestError(f"cannot write the records to {path}; name a file in a folder that exists")


def write_records(path: Path, samples: Iterable[Sample]) -> None:
    """The samples as JSON Lines, whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w") as file:
            file.writelines(json.dumps(asdict(sample)) + "\n" for sample in samples)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
