"""Swarm: load by `counterweight loadtest run` in a process of its own, and its records."""

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.e2e.server import ROOT

# The exit code of a program that Ctrl-C ended.
_INTERRUPTED = 130
_LONGEST_S = 600
# The inputs are the numbers from 0 up to this one, exclusive.
NUMBERS = 10


@dataclass(kw_only=True)
class Swarm:
    """What came of the load, once it has ended: the records that `loadtests/sending/samples.py` describes."""

    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def failed(self) -> list[str]:
        """Return the errors of the requests without a good answer."""
        return [record["error"] for record in self.records if record["error"] is not None]

    def answered(self) -> Counter[str]:
        """How many requests each variant answered."""
        return Counter(record["variant"] for record in self.records if record["error"] is None)


@contextmanager
def swarm(url: str, model: str, folder: Path, *, rate: float) -> Iterator[Swarm]:
    """Ask the model for `rate` whole numbers a second, drawn from NUMBERS, while the context lasts."""
    result = Swarm()
    inputs, records = folder / f"{model}.npz", folder / f"{model}.jsonl"
    np.savez(inputs, x=np.arange(NUMBERS))
    limits = ["--rate", str(rate), "--duration", str(_LONGEST_S)]
    files = ["--inputs", str(inputs), "--records", str(records)]
    command = [sys.executable, "-m", "counterweight", "loadtest", "run", url, "--model", model]
    process = subprocess.Popen([*command, *limits, *files], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield result
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == _INTERRUPTED
        result.records = [json.loads(line) for line in records.read_text().splitlines()]
    finally:
        process.kill()
        process.wait()
