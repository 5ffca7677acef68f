"""Limit: tells whoever watches this process what foreign code it is in, so that it can be ended in time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Watcher = Callable[[str], None]

_watchers: list[Watcher] = []


def watch(watcher: Watcher) -> None:
    """From now on `watcher` hears the name of foreign code when it begins, and "" when it is over."""
    _watchers.append(watcher)


@contextmanager
def limited(what: str) -> Iterator[None]:
    """Inside runs `what`, foreign code that may take only so long."""
    for watcher in _watchers:
        watcher(what)
    try:
        yield
    finally:
        for watcher in _watchers:
            watcher("")
