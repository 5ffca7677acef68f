"""A gateway's process that counts in a journal until it is killed, and prints the number after each count."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serve.counting.journal import Journal
from serve.counting.rollout_counter import Watch

ROOT = Path(__file__).parents[3]
WATCH = Watch(rollout="r1", baseline="fp32", candidate="int8", limit_ms=None, feedback=False)


@contextmanager
def counting(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A gateway of its own process that counts all the time."""
    command = [sys.executable, "-m", "tests.serve.rollout.journal_process", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def killed_after(folder: Path, counts: int) -> int:
    """Kill a gateway after at least `counts` counts, and return their number."""
    with counting(folder) as process:
        assert process.stdout is not None
        said = len(process.stdout.read(counts))
        assert said == counts
        process.kill()
        return said + len(process.stdout.read())


def main(folder: str) -> None:
    """Requests come in threes: one is answered, one fails, one hangs; every hundredth count a delta is whole,
    and acknowledged half a delta later."""
    journal = Journal(Path(folder), "one")
    counter = journal.counter("digits", WATCH)
    number = 0
    with journal.mark("digits/int8"):
        while True:
            number += 1
            choice = (2, True, "int8" if number % 2 else "fp32")
            admitted = counter.admit(choice, number % 7)
            if number % 3:
                counter.end(admitted, failed=number % 3 == 1, ms=1.0, request_id="")
            if number % 100 == 0:
                counter.delta(2, {})
            if number % 100 == 50:
                counter.acknowledge(number // 100)
            # The byte reaches the reader even if the process is killed right after.
            os.write(1, b".")


if __name__ == "__main__":
    main(sys.argv[1])
