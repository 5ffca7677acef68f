"""Announces which foreign code is running, so that the process that watches this one can end it in time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Watcher = Callable[[str], None]

_watchers: list[Watcher] = []


def watch(watcher: Watcher) -> None:
    """Let `watcher` receive the name of foreign code when it begins, and "" when it ends."""
    _watchers.append(watcher)


@contextmanager
def limited(what: str) -> Iterator[None]:
    """Mark the context as `what`, foreign code with a time limit."""
    for watcher in _watchers:
        watcher(what)
    try:
        yield
    finally:
        for watcher in _watchers:
            watcher("")
