"""A process that counts in a journal until it is killed, and says so after each count."""

import os
import sys
from pathlib import Path

from serve.rollout.journal import Journal


def main(folder: str) -> None:
    """Requests come in threes: one is answered, one fails, one hangs; every hundredth count a sheet is whole,
    and acknowledged half a sheet later."""
    journal = Journal(Path(folder), "one")
    census = Census(WATCH, journal.ledger("digits", WATCH))
    number = 0
    with journal.mark("digits/int8"):
        while True:
            number += 1
            choice = (2, True, "int8" if number % 2 else "fp32")
            census.admit(choice, number % 7)
            if number % 3:
                census.end(choice, number % 7, failed=number % 3 == 1, ms=1.0, request_id="")
            if number % 100 == 0:
                census.sheet(2, {})
            if number % 100 == 50:
                census.acknowledge(number // 100)
            # It reaches the reader even when the process is killed right after.
            os.write(1, b".")


if __name__ == "__main__":
    main(sys.argv[1])
