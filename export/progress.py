"""Shows progress: one changing line on a terminal, otherwise a line for each step."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

Say = Callable[[str], object]


def keep_silent(text: str) -> None:
    """Show nothing."""


@contextmanager
def progress() -> Iterator[Say]:
    """Show on stderr what is being done, and for how long."""
    if sys.stderr.isatty():
        with tqdm(bar_format="{desc} [{elapsed}]") as bar:
            yield bar.set_description
        return
    start = time.monotonic()

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - start), 60)
        sys.stderr.write(f"[{minutes:02d}:{seconds:02d}] {text}\n")
        sys.stderr.flush()

    yield say
