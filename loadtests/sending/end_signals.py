"""Turns the signals that end a load test early into KeyboardInterrupt, so that the results so far are printed
and written.

Ctrl-C sends SIGINT, a CI job's time limit and `docker stop` send SIGTERM, and a closed terminal sends
SIGHUP."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that this process does not ignore (`nohup` makes it ignore SIGHUP); Ctrl-C is always
    included."""
    return tuple(
        ending
        for ending in _ENDINGS
        if ending is signal.SIGINT or signal.getsignal(ending) is not signal.SIG_IGN
    )


@contextmanager
def interrupting() -> Iterator[None]:
    """While the context lasts, each of these signals raises KeyboardInterrupt, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {ending: signal.getsignal(ending) for ending in end_signals() if ending is not signal.SIGINT}
    for ending in before:
        signal.signal(ending, signal.default_int_handler)
    try:
        yield
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)
